from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.processes.known_symptoms import SLOW, Symptom
from harness.processes.known_symptoms import SYMPTOMS as KNOWN
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


def _mismatch(weight: str, checkpoint: list[int], model: list[int]) -> str:
    return (
        f"size mismatch for base_model.model.{weight}: copying a param with shape torch.Size({checkpoint}) from "
        f"checkpoint, the shape in current model is torch.Size({model})."
    )


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
    ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9.00 GiB", "the host's memory is full"),
    ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.0.", "the host's memory is full"),
    (
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch. Some of your processes may have been "
        "killed by the cgroup out-of-memory handler.",
        "the host's memory is full",
    ),
    ("Some of your processes may have been killed by the cgroup out-of-memory handler.", "the host's memory is full"),
    ("slurmstepd: error: Exceeded job memory limit at some point.", "the host's memory is full"),
    ("train.sh: fork: 无法分配内存", "the host's memory is full"),
    ("train.sh: 行 3:    71 已杀死               python train.py", "killed (SIGKILL)"),
    ("训练进程异常退出，退出码：137", "killed (SIGKILL)"),
    ("slurmstepd: error: *** JOB 494583 ON n1 CANCELLED AT 2026-04-20T09:09:37 DUE TO TIME LIMIT ***", "Slurm ended"),
    ("slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-04-20T09:09:37 DUE TO TIME LIMIT ***", "Slurm ended"),
    ("[ 9.1] Memory cgroup out of memory: Killed process 71 (python)", "the host's memory is full"),
    ("the host ran out of memory and the kernel killed the process", "the host's memory is full"),
    ("exitcode  : -9 (pid: 71)", "killed (SIGKILL)"),
    ("E0101 10:00:00.000000 7 api.py:869] failed (exitcode: -9) local_rank: 1 (pid: 71)", "killed (SIGKILL)"),
    ("traceback : Signal 9 (SIGKILL) received by PID 71", "killed (SIGKILL)"),
    ("[2026-01-01 10:00:00,000] [ERROR] [launch.py:321:sigkill_handler] [] exits with return code = -9", "(SIGKILL)"),
    ("subprocess.CalledProcessError: Command '['torchrun']' died with <Signals.SIGKILL: 9>.", "killed (SIGKILL)"),
    ("torch.multiprocessing.spawn.ProcessExitedException: process 0 terminated with signal SIGKILL", "(SIGKILL)"),
    ("RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.", "killed (SIGKILL)"),
    ("command terminated with exit code 137", "killed (SIGKILL)"),
    ("Killed", "killed (SIGKILL)"),
    ("train.sh: line 3:    71 Killed                  python train.py", "killed (SIGKILL)"),
    ("Cuda failure 2 'out of memory'", "the chip's memory is full"),
    ("torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB.", "the chip's memory is full"),
    (
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "the chip's memory is full",
    ),
    ("训练失败：RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", "the chip's memory is full"),
    (
        "ValueError: Some modules are dispatched on the CPU or the disk. Make sure you have enough GPU RAM to fit the "
        "quantized model. If you want to dispatch the model on the CPU or the disk while keeping",
        "the quantized model does not fit",
    ),
    ("EL0004: [PID: 7] 2026-01-01-10:00:00.000.000 Failed to allocate memory.", "driver has no memory"),
    ("[PID: 7] Memory_Allocation_Failure(EL0004): Failed to allocate memory.", "driver has no memory"),
    ("rtMalloc execute failed, reason=[driver error:out of memory][FUNC:FuncErrorReason]", "driver has no memory"),
    ("alloc device memory failed, runtime result = 207001[FUNC:ReportCallError]", "driver has no memory"),
    ("RuntimeError: NPU function error: aclrtMallocPhysical, error code is 207001", "driver has no memory"),
    ("[ERROR] RUNTIME(7,python): [driver interface] halMemAlloc failed: device_id=1", "driver has no memory"),
    ("Error while creating shared memory segment /dev/shm/nccl-x7 (size 9637888)", "too small for NCCL"),
    (
        "RuntimeError: DataLoader worker (pid 42) is killed by signal: Bus error. It is possible that dataloader's "
        "workers are out of shared memory.",
        "/dev/shm is full",
    ),
    ("RuntimeError: unable to write to file </torch_42_1_0>: No space left on device (28)", "/dev/shm is full"),
    ("OSError: [Errno 28] No space left on device: '/data/outputs/x'", "the disk is full"),
    ("cp: 写入'/data/x' 时出错: 设备上没有空间", "the disk is full"),
    ("tee: /数据/日志.txt: No space left on device", "the disk is full"),
    ("OSError: [Errno 122] Disk quota exceeded: '/home/x/y'", "share of the disk is used up"),
    ("cp: error writing 'x': Disk quota exceeded", "share of the disk is used up"),
    ("OSError: [Errno 24] Too many open files", "limit of open files"),
    ("bash: fork: retry: Resource temporarily unavailable", "limit of processes"),
    (
        "OpenBLAS blas_thread_init: pthread_create failed for thread 1 of 64: Resource temporarily unavailable",
        "limit of processes",
    ),
    ("RuntimeError: can't start new thread", "limit of processes"),
    ("libgomp: Thread creation failed: Resource temporarily unavailable", "limit of processes"),
    ("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge", "is not whole"),
    ("safetensors_rust.SafetensorError: Error while deserializing header: invalid JSON in header", "is not whole"),
    ("SafetensorError: Error while deserializing header: InvalidHeaderDeserialization", "is not whole"),
    ("safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer", "is not whole"),
    ("_pickle.UnpicklingError: invalid load key, 'v'.", "is not whole"),
    ("RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory", "not whole"),
    ("OSError: You seem to have cloned a repository without having git-lfs installed.", "is not whole"),
    (_mismatch("model.embed_tokens.modules_to_save.default.weight", [0], [152064, 64]), "were empty"),
    (_mismatch("model.layers.0.mlp.up_proj.lora_B.default.weight", [64, 8], [0]), "were empty"),
    (_mismatch("model.layers.0.self_attn.q_proj.lora_A.default.weight", [16, 4096], [8, 4096]), "do not fit each"),
    (_mismatch("model.embed_tokens.modules_to_save.default.weight", [128320, 64], [128256, 64]), "the vocabulary"),
    (_mismatch("lm_head.modules_to_save.default.weight", [32001, 64], [32000, 64]), "the vocabulary"),
    (_mismatch("transformer.wte.weight", [50259, 64], [50257, 64]), "the vocabulary"),
    (
        'ValueError: Trying to set a tensor of shape torch.Size([32001, 64]) in "weight" (which has shape '
        "torch.Size([32000, 64])), this look incorrect.",
        "the vocabulary",
    ),
    (
        'ValueError: Trying to set a tensor of shape torch.Size([64, 16]) in "weight" (which has shape '
        "torch.Size([64, 8])), this looks incorrect.",
        "do not fit each",
    ),
    ("RuntimeError: Cannot find valid samples, check `data/README.md` for the data format.", "no row of the data"),
    ("RuntimeError: Cannot find sufficient samples, consider increasing dataset size.", "no row of the data"),
    ("ValueError: Undefined dataset my_data in dataset_info.json.", "no entry of that name"),
    ("ValueError: Template qwen9 does not exist.", "no template of that name"),
    (
        "ValueError: The checkpoint you are trying to load has model type `qwen9` but Transformers does not recognize "
        "this architecture. This could be because of an issue with the checkpoint, or because your version",
        "does not know this type of model",
    ),
    (
        "ValueError: Unrecognized configuration class <class 'transformers.models.bert.BertConfig'> for this kind of "
        "AutoModel: AutoModelForCausalLM.",
        "does not know this type of model",
    ),
    (
        "ValueError: Unrecognized model in /models/x. Should have a `model_type` key in its config.json.",
        "does not know this type of model",
    ),
    ("OSError: You are trying to access a gated repo.", "the hub does not give out"),
    ("Access to model meta-llama/Llama-3.1-8B is restricted. You must have access to it.", "the hub does not give"),
    (
        "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: PvMw_VjBMjVdMz53WKIzP)",
        "the hub does not give out",
    ),
    (
        "OSError: a/b is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
        "the hub does not give out",
    ),
    ("RuntimeError: CUDA error: device-side assert triggered", "an index lay beyond a table"),
    (
        "../aten/src/ATen/native/cuda/Indexing.cu:1289: indexSelectLargeIndex: block: [463,0,0], thread: [31,0,0] "
        "Assertion `srcIndex < srcSelectDimSize` failed.",
        "an index lay beyond a table",
    ),
    (
        "ImportError: Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install -U "
        "bitsandbytes>=0.46.1`",
        "quantization needs bitsandbytes",
    ),
    (
        "ImportError: Using `bitsandbytes` 8-bit quantization requires accelerate: `pip install 'accelerate>=1.1.0'`",
        "quantization needs bitsandbytes",
    ),
    ("ModuleNotFoundError: No module named 'bitsandbytes'", "quantization needs bitsandbytes"),
    (
        "importlib.metadata.PackageNotFoundError: No package metadata was found for bitsandbytes",
        "quantization needs bitsandbytes",
    ),
    (
        "RuntimeError: None of the available devices `available_devices = {'mps'}` are supported by the bitsandbytes "
        "version you have installed: `bnb_supported_devices = {'cuda', 'cpu'}`.",
        "supports none of this machine's devices",
    ),
    (
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='api.swanlab.cn', port=443): Max retries",
        "the experiment tracker",
    ),
    (
        "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://api.wandb.ai/graphql",
        "the experiment tracker",
    ),
    ("EZ1001: self not implemented for DT_BFLOAT16, should be in dtype support list [DT_FLOAT16,", "has no bf16"),
    ("launch failed for Cast, errno:561000.", "kernels package is missing"),
    ("E30006: check the version and verify the OPP package", "driver and CANN do not fit"),
    ("[ERROR] rtSetDevice: ErrCode=507899, desc=[driver error:internal error]", "the device is busy"),
    ("[ERROR] RUNTIME GetDeviceType:Call halGetDeviceInfo failed: drvRet=87, module type=0", "the device is busy"),
    ("[Error]: Resource_Busy(EL0005): The resources are busy.", "the device is busy"),
    ("RuntimeError: aclInit failed, error code is 507008", "container lacks a device"),
    ("EJ0001: Failed to initialize the HCCP process.", "earlier training process"),
    ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "memory or its link has a fault"),
    ("RuntimeError: HBM MULTI BIT ECC ERROR, error code is 507054", "memory or its link has a fault"),
    ("RuntimeError: UCE ERROR. error code is 507053", "memory or its link has a fault"),
    ("NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.", "memory or its link has a fault"),
    ("RuntimeError: NPU function error: c10_npu::SetDevice(device), error code is 507033", "the device did not start"),
    ("open device 0 failed, runtime result = 507033, reason=device retain", "the device did not start"),
    ("RuntimeError: NPU function error: at_npu::native::AclSetCompileopt, error code is 500001", "CANN's compiler"),
    (
        "EZ9999: The error from device(chipId:7, dieId:0), there is an exception of aivec error, core id is 3",
        "operator",
    ),
    ("EZ9999: there is an exception of fftsplus aicore error, core id is 12, error code = 0x2", "operator failed"),
    ("Kernel task happen error, retCode=0x26, [aicore exception].[FUNC:PreCheckTaskErr]", "operator failed"),
    ("RuntimeError: NPU function error: AclrtSynchronizeDeviceWithTimeout, error code is 507015", "operator failed"),
    ("RuntimeError: NPU function error: AclrtSynchronizeStreamWithTimeout, error code is 507011", "operator failed"),
    ("RuntimeError: ACL stream synchronize failed, error code:507035", "operator failed"),
    ("[Error]: The aicore execution times out.", "operator failed"),
    ("rtStreamSynchronize execute failed, reason=[vector core exception][FUNC:FuncErrorReason]", "operator failed"),
    ("RuntimeError: Cannot re-initialize NPU in forked subprocess.", "that had used the NPU forked"),
    ("torch.distributed.DistNetworkError: EADDRINUSE, message: port: 29500", "the port is taken"),
    ("OSError: [Errno 98] Address already in use", "the port is taken"),
    ("AttributeError: 'NoneType' object has no attribute 'cquantize_blockwise_fp16_nf4'", "no native library"),
    ("'NoneType' object has no attribute 'cadam32bit_grad_fp32'", "no native library"),
    ("Could not load bitsandbytes native library: libcusparse.so.11: cannot open shared object file", "no native"),
    ("OSError: /x/libbitsandbytes_cpu.so: cannot open shared object file: No such file or directory", "no native"),
    ("AttributeError: /x/libbitsandbytes_cpu.so: undefined symbol: cget_managed_ptr", "no native library"),
    ("The installed version of bitsandbytes was compiled without GPU support.", "no native library"),
    ("RuntimeError: Configured CUDA binary not found at /x/libbitsandbytes_cuda124.so", "no native library"),
    ("RuntimeError: Method 'cgemm_4bit' not available in CPU-only version of bitsandbytes.", "no native library"),
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
    ("EI0006: [PID: 7] 2026-01-01-10:00:00.000.000 Getting socket times out. Reason: x", "HCCL's connection"),
    ("[PID: 7] 2026-01-01 Communication_Error_Get_Socket(EI0006): Getting socket times out.", "HCCL's connection"),
    ("[ERROR] HCCL(7,python): [Wait][LinkEstablish]wait socket establish timeout, role[1]", "HCCL's connection"),
    ("RuntimeError: NPU function error: aclrtSynchronizeDevice, error code is 507046", "chip was not done"),
    (
        "EE1002: Stream synchronize timeout. rtDeviceSynchronize execute failed, reason=[stream sync timeout]",
        "chip was",
    ),
    ("RuntimeError: ACL stream synchronize failed, error code:107020", "chip was not done"),
    (
        "[rank0]:[E101 10:00:00.000000000 ProcessGroupNCCL.cpp:607] [Rank 0] Watchdog caught collective operation "
        "timeout: WorkNCCL(SeqNum=1516, OpType=ALLREDUCE)",
        "waited too long",
    ),
    ("what():  [PG 1 Rank 0] NCCL watchdog thread terminated with exception: [Rank 0]", "waited too long"),
    (
        "torch.distributed.DistStoreError: Timed out after 901 seconds waiting for clients. 1/2 clients joined.",
        "meet in",
    ),
    ("torch.distributed.DistStoreError: wait timeout after 300000ms, keys: /default_pg/0//0", "did not all meet"),
    ("torch.distributed.elastic.rendezvous.api.RendezvousTimeoutError", "did not all meet"),
    ("RendezvousConnectionError: The connection to the C10d store has failed. See inner exception", "did not all meet"),
    ("torch.distributed.DistNetworkError: The client socket has timed out after 600000ms while trying", "not all meet"),
    ("[c10d] The client socket has failed to connect to any network address of (node0, 29500).", "did not all meet"),
    ("RuntimeError: connect() timed out. Original timeout was 60000 ms.", "did not all meet"),
    (
        "torch.distributed.DistBackendError: [1] is setting up NCCL communicator and retrieving ncclUniqueId from [0] "
        "via c10d key-value store by key '0', but store->get('0') got error: Socket Timeout",
        "did not all meet",
    ),
    (
        "torch.distributed.DistBackendError: NCCL error in: x.cpp:1331, unhandled system error, NCCL version",
        "NCCL could",
    ),
    ("RuntimeError: NCCL Error 1: unhandled cuda error", "NCCL could not"),
    ("ncclRemoteError: A call failed possibly due to a network error or a remote process exiting", "NCCL could not"),
    ("ncclInternalError: Internal check failed.", "NCCL could not"),
    ("RuntimeError: [/x/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:4711", "lost the conn"),
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


@pytest.mark.parametrize("indentation", ["", "    "])
@pytest.mark.parametrize(("line", "cause"), SYMPTOMS, ids=[line[:60] for line, _ in SYMPTOMS])
def test_each_symptom_in_an_ordinary_log_is_the_one_that_is_found(line: str, cause: str, indentation: str) -> None:
    half = len(ORDINARY) // 2
    middle = ORDINARY.index("\n", half) + 1
    (found,) = diagnoses(f"{ORDINARY[:middle]}{indentation}{line}\n{ORDINARY[middle:]}")
    assert found.line == line
    assert cause in found.cause
    assert found.fix
    assert found.source


@pytest.mark.parametrize("symptom", [*KNOWN, *SLOW], ids=lambda symptom: symptom.cause[:60])
def test_each_symptom_has_a_cause_a_fix_a_source_and_an_example_here(symptom: Symptom) -> None:
    assert symptom.cause
    assert symptom.fix
    assert symptom.source
    assert any(re.search(symptom.pattern, line) for line, cause in SYMPTOMS if cause in symptom.cause)


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
        "Killing subprocess 71",
        "killed 3 stale processes of an earlier run",
        "AttributeError: 'NoneType' object has no attribute 'chat_template'",
        "RuntimeError: Error(s) in loading state_dict for Linear: Missing key(s) in state_dict: embed_tokens.weight",
        "exit code: 1, status 0, code 1370",
        "the process was killed by SIGKILL, not by the harness",
        "{'loss': 0.507033, 'eval_loss': 1.507899}",
        "some library: call failed, ret is -8005",
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        "BlockingIOError: [Errno 11] write could not complete without blocking",
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
