from __future__ import annotations

from pathlib import Path

import pytest

from harness.processes.symptoms import diagnose, diagnoses
from harness.runs.record import Diagnosis

RECORDED = Path(__file__).parents[3] / "shared" / "npu-smi"
recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings are not here")

ORDINARY = """\
[transformers] warmup_ratio is deprecated and will be removed in v5.2. Use `warmup_steps` instead.
[WARNING|2026-11-22 09:13:32] llamafactory.hparams.parser:149 >> We recommend enable mixed precision training.
[INFO|2026-11-22 09:13:32] llamafactory.hparams.parser:523 >> Process rank: 0, world size: 1, device: npu:0
[INFO|hub.py:364] 2026-11-22 09:13:32,103 >> Offline mode: forcing local_files_only=True
[2025-11-11 02:59:28,889] [INFO] [real_accelerator.py:254:get_accelerator] Setting ds_accelerator to npu (auto detect)
Failed to load CPU gemm_4bit_forward from kernels-community: No module named 'kernels'.
/bin/sh: line 1: npu-smi: command not found
This device does not support querying product.
UserWarning: the device is used by default where none is named
{'loss': '0.507033', 'grad_norm': '5.07899e-01', 'learning_rate': '9.507008e-05', 'num_tokens': '507048', 'epoch': '1'}
{'loss': 1.507033, 'grad_norm': 0.500001, 'step': 507899}
[INFO|trainer.py:2519] >>   Number of trainable parameters = 507,899,507033
loading file /data/models/EL00051/E300061/model-00002-of-00004.safetensors, sha256 0EI0002f
train_runtime = 0:00:07.44, train_samples_per_second = 561.000, errno = 0
"""
"""What LLaMA-Factory, transformers, DeepSpeed and others print in runs that end well; numbers chosen to be misread."""

SYMPTOMS = [
    ("OSError: libascendcl.so: cannot open shared object file: No such file or directory", "CANN environment is not"),
    ("RuntimeError: ASCEND_OPP_PATH environment variable is not set.", "operator package of CANN"),
    (
        "RuntimeError: Two accelerators cannot be used at the same time in PyTorch: npu and cuda.",
        "torch is a CUDA build",
    ),
    (
        "RuntimeError: Two accelerators cannot be used at the same time in PyTorch: npu and npu.",
        "loaded twice",
    ),
    ("ImportError: /x/torch_npu/lib/libtorch_npu.so: undefined symbol: _ZNK3c10", "different versions"),
    ("ModuleNotFoundError: No module named 'torch_npu._C'", "source tree"),
    ("ImportError: /x/libgomp-d22c30c5.so.1.0.0: cannot allocate memory in static TLS block", "libgomp was loaded"),
    ("RuntimeError: The NVIDIA driver on your system is too old (found version 11040).", "NVIDIA driver is older"),
    (
        "RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version",
        "NVIDIA driver is older",
    ),
    ("AssertionError: Torch not compiled with CUDA enabled", "torch is a CPU build"),
    (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "not built for this GPU's generation",
    ),
    ("RuntimeError: NPUWorkspaceAllocator tried to allocate 2.0 GiB", "the chip's memory is full"),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has", "the chip's memory is full"),
    ("RuntimeError: CUDA error: out of memory", "the chip's memory is full"),
    ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", "the host's memory is full"),
    ("OSError: [Errno 12] Cannot allocate memory", "the host's memory is full"),
    ("MemoryError", "the host's memory is full"),
    ("the host ran out of memory and the kernel killed the process", "the host's memory is full"),
    (
        "RuntimeError: DataLoader worker (pid 42) is killed by signal: Bus error. It is possible that dataloader's "
        "workers are out of shared memory.",
        "/dev/shm is full",
    ),
    ("RuntimeError: unable to write to file </torch_42_1_0>: No space left on device (28)", "/dev/shm is full"),
    ("OSError: [Errno 28] No space left on device: '/data/outputs/x'", "the disk is full"),
    ("OSError: [Errno 24] Too many open files", "limit of open files"),
    ("RuntimeError: can't start new thread", "limit of processes"),
    ("libgomp: Thread creation failed: Resource temporarily unavailable", "limit of processes"),
    ("EZ1001: self not implemented for DT_BFLOAT16, should be in dtype support list [DT_FLOAT16,", "has no bf16"),
    ("launch failed for Cast, errno:561000.", "kernels package is missing"),
    ("E30006: check the version and verify the OPP package", "driver and CANN do not fit"),
    ("[ERROR] rtSetDevice: ErrCode=507899, desc=[driver error:internal error]", "the device is busy"),
    ("[ERROR] RUNTIME GetDeviceType:Call halGetDeviceInfo failed: drvRet=87, module type=0", "the device is busy"),
    ("[Error]: Resource_Busy(EL0005): The resources are busy.", "the device is busy"),
    ("RuntimeError: aclInit failed, error code is 507008", "container lacks a device"),
    ("EJ0001: Failed to initialize the HCCP process.", "earlier training process"),
    ("RuntimeError: NPU function error: c10_npu::SetDevice(device), error code is 507033", "the device did not start"),
    ("open device 0 failed, runtime result = 507033, reason=device retain", "the device did not start"),
    ("RuntimeError: NPU function error: at_npu::native::AclSetCompileopt, error code is 500001", "CANN's compiler"),
    ("RuntimeError: Cannot re-initialize NPU in forked subprocess.", "that had used the NPU forked"),
    ("torch.distributed.DistNetworkError: EADDRINUSE, message: port: 29500", "the port is taken"),
    ("OSError: [Errno 98] Address already in use", "the port is taken"),
    ("RuntimeError: operator torchvision::nms does not exist", "do not fit torch"),
    (
        "importlib.metadata.PackageNotFoundError: No package metadata was found for The 'deepspeed>=0.9.3' "
        "distribution was not found and is required by this application.",
        "DeepSpeed, which is not installed",
    ),
    ("ValueError: Processor was not found, please check and update your model file.", "what prepares that cannot be"),
    ("OSError: /x/torchaudio/lib/libtorchaudio.so: undefined symbol: _ZN2at4", "do not fit torch"),
    ("OSError: Could not load this library: /x/torchaudio/lib/_torchaudio.abi3.so", "do not fit torch"),
    ("ImportError: /lib64/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by", "newer system"),
    ("EI0002: The wait execution of the Notify register times out.", "another rank died"),
    ("NPU warning, error code is 507048[Error]:", "another rank died"),
    ("requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443)", "had to be fetched"),
    ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "had to be fetched"),
    ("OfflineModeIsEnabled: Cannot reach https://huggingface.co/api/models/x", "had to be fetched"),
    (
        "Warning: CAUTION: The operator 'aten::isin' is not currently supported on the NPU backend and will fall back "
        "to run on the CPU. This may",
        "lacks an operator",
    ),
    ("dcmi module initialize failed. ret is -8005", "the driver cannot be reached"),
    ("dcmi model initialized failed, because the device is used. ret is -8020", "another container holds the chip"),
    ("npu get board type failed. ret is -9005", "did not tell the board's type"),
    ("There is no NPU card on this server.", "sees no card"),
]


@pytest.mark.parametrize(("line", "cause"), SYMPTOMS, ids=[line[:60] for line, _ in SYMPTOMS])
def test_each_symptom_in_an_ordinary_log_is_the_one_that_is_found(line: str, cause: str) -> None:
    half = len(ORDINARY) // 2
    middle = ORDINARY.index("\n", half) + 1
    (found,) = diagnoses(f"{ORDINARY[:middle]}    {line}\n{ORDINARY[middle:]}")
    assert found.line == line
    assert cause in found.cause
    assert found.fix


def test_an_ordinary_log_has_no_symptom() -> None:
    assert diagnoses(ORDINARY) == []
    assert diagnose(ORDINARY) is None
    assert diagnoses("") == []


@pytest.mark.parametrize(
    "line",
    [
        "EZ1001: self not implemented for DT_INT64, should be in dtype support list [DT_FLOAT,DT_BFLOAT16]",
        "torch.nn.modules.OutOfMemoryErrorFilter is registered",
        "[INFO] ranks: 8, tag EI00021, TEL0005, E300060",
        "{'loss': 0.507033, 'eval_loss': 1.507899}",
        "some library: call failed, ret is -8005",
    ],
)
def test_what_only_looks_like_a_symptom_is_none(line: str) -> None:
    assert diagnoses(line) == []


ORDER = [
    # An earlier line of a log, a later one, and which of both decides.
    (
        "aten::isin is not currently supported on the NPU backend and will fall back to run on the CPU.",
        "RuntimeError: NPU out of memory. Tried to allocate 260.00 MiB (NPU 0; 28.50 GiB total capacity;",
        "NPU out of memory",
    ),
    ("EI0002: The wait execution of the Notify register times out.", "RuntimeError: NPU out of memory.", "NPU out of"),
    ("error code is 507048[Error]:", "EJ0001: Maybe the last training process is running.", "EJ0001"),
    ("MaxRetryError: HTTPSConnectionPool(host='x')", "CUDA out of memory. Tried to allocate", "CUDA out of memory"),
    ("RuntimeError: NPU out of memory.", "libhccl.so: cannot open shared object file", "libhccl.so"),
]


@pytest.mark.parametrize(("earlier", "later", "decisive"), ORDER)
def test_the_most_decisive_comes_first_wherever_it_stands(earlier: str, later: str, decisive: str) -> None:
    first, second = diagnoses(f"{earlier}\n{ORDINARY}{later}\n")
    assert decisive in first.line
    assert decisive not in second.line


def test_what_is_only_slow_is_told_and_never_why_a_run_ended() -> None:
    log = "aten::isin is not currently supported on the NPU backend and will fall back to run on the CPU.\n"
    (told,) = diagnoses(log)
    assert "slow, not fatal" in told.cause
    assert diagnose(log + "ValueError: something else\n") is None


def test_a_symptom_that_every_rank_repeats_is_told_once() -> None:
    log = "".join(f"[rank{rank}] RuntimeError: NPU out of memory. (NPU {rank};\n" for rank in range(8))
    assert [found.line for found in diagnoses(log)] == ["[rank0] RuntimeError: NPU out of memory. (NPU 0;"]


def test_an_endless_line_is_cut() -> None:
    (found,) = diagnoses("CUDA out of memory" + "." * 10_000)
    assert len(found.line) == 300


LOGS = {
    "bf16-unsupported_EZ1001_310P_llamafactory7522": "has no bf16",
    "cpu-fallback-warning": "lacks an operator",
    "fork_reinit": "had used the NPU forked",
    "hccl_EI0002_torchnpu-docs": "another rank died",
    "hccl_EJ0001_llamafactory3839": "earlier training process",
    "import_abi-mismatch_sglang28628": "different versions",
    "import_libhccl": "CANN environment is not sourced",
    "init_500001_AclSetCompileopt_torchnpu-docs": "CANN's compiler",
    "kernels-missing_EZ9999_llamafactory4610": "kernels package is missing",
    "oom_classic": "the chip's memory is full",
    "port-in-use_torchnpu-docs": "the port is taken",
}


def _recorded(folder: str, name: str) -> list[Diagnosis]:
    return diagnoses((RECORDED / folder / f"{name}.txt").read_text(encoding="utf-8", errors="replace"))


@recordings
def test_all_recorded_logs_are_judged_here() -> None:
    assert {file.stem for file in (RECORDED / "logs").glob("*.txt")} == LOGS.keys()


@recordings
@pytest.mark.parametrize(("name", "cause"), LOGS.items())
def test_each_recorded_log_has_one_cause_and_it_is_the_right_one(name: str, cause: str) -> None:
    (found,) = _recorded("logs", name)
    assert cause in found.cause


@recordings
@pytest.mark.parametrize("name", ["8005_g_conLogLevel3", "8005_plain", "8005_ret4", "9005_board-type"])
def test_recorded_errors_of_the_driver_have_a_fix(name: str) -> None:
    (found,) = _recorded("errors", name)
    assert found.fix
