"""What the last words of a failed run mean: known symptoms, their causes and fixes.

From Ascend/pytorch's installation and troubleshooting documents, the issues of LLaMA-Factory, vllm-ascend, sglang and
HAMi, and bitsandbytes' and torch's own messages; causes in brackets are inferred, not documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.devices.npu_smi import parse_error
from harness.runs.record import Diagnosis

_SHOWN_CHARACTERS = 300


def _code(number: int) -> str:
    """An error code of the NPU runtime, as torch-npu and the runtime write it; the bare number may be a loss's digits.

    Forms: `error code is 507899`, `ErrCode=507899`, `Error code=507899`, `runtime result = 507033`, `retCode=0x..`."""
    return rf"(?i:code is |code ?= ?|errno: ?|result ?= ?){number}\b"


# The most decisive first: what stopped the process, then what an earlier error may have dragged behind it.
SYMPTOMS: tuple[tuple[str, str, str], ...] = (
    # --- The libraries do not load.
    (
        r"lib(hccl|ascendcl|ascend_hal)\.so: cannot open shared object file",
        "the CANN environment is not sourced",
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh (from CANN 8.5 on /usr/local/Ascend/cann/set_env.sh) in "
        "the shell that starts the run; TORCH_DEVICE_BACKEND_AUTOLOAD=0 lets plain torch import without it",
    ),
    (
        r"ASCEND_OPP_PATH environment variable is not set",
        "the operator package of CANN is missing, or not sourced",
        "install the kernels (ops) package of the same CANN version and source set_env.sh again",
    ),
    (
        r"Two accelerators cannot be used at the same time in PyTorch: npu and npu",
        "torch-npu was loaded twice: its first import failed halfway, often for want of pkg_resources [inferred]",
        "pip install 'setuptools<81'; else export TORCH_DEVICE_BACKEND_AUTOLOAD=0",
    ),
    (
        r"Two accelerators cannot be used at the same time in PyTorch: npu and (?!npu)",
        "torch is a CUDA build and torch-npu is beside it",
        "pip uninstall -y torch && pip install torch==X.Y.Z --index-url https://download.pytorch.org/whl/cpu, "
        "with the version that torch has now",
    ),
    (
        r"libtorch_npu\.so: undefined symbol",
        "torch and torch-npu are of different versions",
        "install torch-npu of exactly the version of torch",
    ),
    (
        r"No module named 'torch_npu\._C'",
        "Python runs inside torch-npu's source tree and imports that",
        "start from another directory",
    ),
    (
        r"libgomp.*cannot allocate memory in static TLS block",
        "on aarch64 libgomp was loaded too late",
        "LD_PRELOAD the libgomp file that the message names",
    ),
    (
        r"(NVIDIA driver on your system is too old|CUDA driver version is insufficient for CUDA runtime version)",
        "the NVIDIA driver is older than the CUDA that torch was built for",
        "upgrade the driver, or install the torch build for an older CUDA (`harness doctor` names both versions)",
    ),
    (
        r"Torch not compiled with CUDA enabled",
        "torch is a CPU build",
        "pip uninstall -y torch && pip install torch==X.Y.Z, with the version that torch has now; or device.name=cpu",
    ),
    (
        r"no kernel image is available for execution on the device",
        "torch or bitsandbytes was not built for this GPU's generation",
        "install a torch build whose torch.cuda.get_arch_list() names this GPU's compute capability",
    ),
    # --- Something is full.
    (
        r"NPU out of memory|NPUWorkspaceAllocator tried to allocate|CUDA out of memory|CUDA error: out of memory",
        "the chip's memory is full",
        "training.batch_size=1 with more training.gradient_accumulation, a shorter training.cutoff_length, or "
        "method=qlora; `npu-smi info` or nvidia-smi shows who else holds memory",
    ),
    (
        r"DefaultCPUAllocator: (can't|not enough)|Cannot allocate memory|\bMemoryError\b"
        r"|the host ran out of memory",
        "the host's memory is full",
        "a smaller training.batch_size or training.cutoff_length, or a machine with more memory",
    ),
    (
        r"(out of|insufficient) shared memory|unable to \w+ .*</torch_",
        "/dev/shm is full, through which the workers of a data loader pass their batches",
        "docker run --shm-size=16g, or llamafactory.dataloader_num_workers=0",
    ),
    (
        # With `>: ` before it, it is about a file in /dev/shm.
        r"(?<!>: )No space left on device",
        "the disk is full",
        "free some, or set output= to a folder on another disk",
    ),
    (
        r"Too many open files",
        "the limit of open files is reached",
        "ulimit -n 65535 in the shell that starts the run",
    ),
    (
        r"can't start new thread|pthread_create failed|Resource temporarily unavailable",
        "the limit of processes and threads is reached",
        "ulimit -u unlimited, in a container docker run --pids-limit=-1; OMP_NUM_THREADS=4 needs fewer",
    ),
    # --- The chip, its driver and CANN.
    (
        # The list of types that an operator does have names BFLOAT16 as well.
        r"not implemented for DT_BFLOAT16",
        "this NPU (310P, 910A) has no bf16",
        "training.precision=fp16; a 310P is made for inference and does not train",
    ),
    (
        r"does not has any binary|errno: ?561000\b|Parse dynamic kernel config fail",
        "the kernels package is missing or of another CANN version [inferred]",
        "install the kernels package for this chip and this CANN version",
    ),
    (
        r"\bE30006\b",
        "driver and CANN do not fit each other [inferred]",
        "align driver, firmware and CANN by the vendor's version table",
    ),
    (
        _code(507899) + r"|drvRet(Code)?=87\b|\bEL0005\b",
        "the device is busy, or this user may not open it",
        "see `npu-smi info` for who holds it; join the driver's group, or pass the device into the container",
    ),
    (
        r"aclInit.*\b507008\b|\b507008\b.*aclInit|" + _code(507008),
        "the container lacks a device or the driver [inferred]",
        "pass --device /dev/davinciN, /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc and mount the driver",
    ),
    (
        r"\bEJ0001\b|last training process is running",
        "an earlier training process still holds the chips",
        "end it (`npu-smi info` lists it), wait 10 s and start again",
    ),
    (
        _code(507033),
        "the device did not start: an ended run's process still holds it, the chip is not healthy, or driver and CANN "
        "do not fit each other [inferred]",
        "look at Health and at the processes in `npu-smi info`: end what is left over, or choose another chip with "
        "device.chips; else align driver, firmware and CANN by the vendor's version table",
    ),
    (
        r"AclSetCompileopt.*\b500001\b|" + _code(500001),
        "CANN's compiler could not be started: a Python package it needs is missing, or CANN is not sourced [inferred]",
        "source set_env.sh; pip install decorator attrs psutil scipy cloudpickle ml-dtypes tornado",
    ),
    (
        r"Cannot re-initialize NPU in forked subprocess",
        "a process that had used the NPU forked",
        "set llamafactory.dataloader_num_workers=0, or the start method of the workers to spawn",
    ),
    (
        r"errno: ?98\b|EADDRINUSE|Address already in use",
        "the port is taken, often by a process of an earlier run",
        "end that process, or choose another port (MASTER_PORT for a training)",
    ),
    # --- Other libraries.
    (
        r"Processor was not found, please check and update your model file",
        "the model sees or hears, and what prepares that cannot be loaded: there is no preprocessor_config.json in its "
        "folder, or torchvision does not fit torch",
        "fetch the whole model again; install the torchvision of torch's version (python -c 'import torchvision' shows "
        "whether it loads)",
    ),
    (
        r"The 'deepspeed\S*' distribution was not found|No module named 'deepspeed'",
        "llamafactory.deepspeed asks for DeepSpeed, which is not installed",
        "pip install deepspeed, or leave out the arms that need it (on an NPU QLoRA fails beside it)",
    ),
    (
        r"operator torchvision::nms does not exist|torch(vision|audio)\S*\.so: undefined symbol"
        r"|Could not load this library: \S*torch(vision|audio)",
        "torchvision or torchaudio do not fit torch",
        "install the builds of the same release as torch, or uninstall them",
    ),
    (
        r"GLIBC(XX)?_[0-9.]+' not found",
        "a compiled library needs a newer system than this one",
        "use a newer base image, or a build for this system",
    ),
    # --- What an error elsewhere brings about.
    (
        r"\bEI0002\b|" + _code(507048),
        "another rank died or is slow, and this one waited for it",
        "look at the log of the rank that failed first; HCCL_EXEC_TIMEOUT lengthens the wait",
    ),
    (
        r"HTTPSConnectionPool|MaxRetryError|\bConnectionError: |LocalEntryNotFoundError|couldn't connect to "
        r"|OfflineModeIsEnabled|Temporary failure in name resolution",
        "something had to be fetched and the network did not answer",
        "fetch the model or data beforehand and give its local path; behind a mirror set HF_ENDPOINT",
    ),
)
SLOW: tuple[tuple[str, str, str], ...] = (
    (
        r"is not currently supported on the NPU backend and will fall back to run on the CPU",
        "torch-npu lacks an operator, which then runs on the CPU: slow, not fatal",
        "a newer torch-npu may have it; look for the real error elsewhere in the log",
    ),
)
"""Never why a run ended."""

_FROM_THE_DRIVER = re.compile(r"\b(dcmi|npu)\b.*\bret is -[0-9]|There is no NPU card", re.IGNORECASE)
"""The lines of a log that may be npu-smi's: what else it complains of (an unknown query, a command that is not there)
stops no training, and its words stand in other libraries' messages too."""


def diagnoses(text: str) -> list[Diagnosis]:
    """Return every known symptom in a log, each once, the most decisive first."""
    return [*_fatal(text), *_matches(SLOW, text)]


def diagnose(text: str) -> Diagnosis | None:
    """Return the most decisive known reason why the run of a log ended; None where there is none."""
    return next(_fatal(text), None)


def _fatal(text: str) -> Iterator[Diagnosis]:
    if error := parse_error("\n".join(filter(_FROM_THE_DRIVER.search, text.splitlines()))):
        yield Diagnosis(line=error.message[:_SHOWN_CHARACTERS], cause=error.cause, fix=error.fix)
    yield from _matches(SYMPTOMS, text)


def _matches(symptoms: Sequence[tuple[str, str, str]], text: str) -> Iterator[Diagnosis]:
    lines = text.splitlines()
    for pattern, cause, fix in symptoms:
        line = next((line.strip() for line in lines if re.search(pattern, line)), None)
        if line is not None:
            yield Diagnosis(line=line[:_SHOWN_CHARACTERS], cause=cause, fix=fix)
