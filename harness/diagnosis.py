"""What the last words of a failed run mean: known symptoms, their causes and fixes.

From Ascend/pytorch's installation and troubleshooting documents, the issues of LLaMA-Factory, vllm-ascend, sglang and
HAMi, and bitsandbytes' and torch's own messages; causes in brackets are inferred, not documented.
"""

from __future__ import annotations

import re

from pydantic import BaseModel

from harness.devices.npu_smi import parse_error


class Diagnosis(BaseModel):
    line: str
    """The line that told it."""
    cause: str
    fix: str


# The most decisive first: an error inside the driver often drags later ones behind it.
_SYMPTOMS: tuple[tuple[str, str, str], ...] = (
    (
        r"lib(hccl|ascendcl|ascend_hal)\.so: cannot open shared object file",
        "the CANN environment is not sourced",
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh in the shell that starts the run; "
        "TORCH_DEVICE_BACKEND_AUTOLOAD=0 lets plain torch import without it",
    ),
    (
        r"ASCEND_OPP_PATH environment variable is not set",
        "the operator package of CANN is missing, or not sourced",
        "install the kernels package of the same CANN version and source set_env.sh again",
    ),
    (
        r"Two accelerators cannot be used at the same time in PyTorch",
        "torch is a CUDA build and torch-npu is beside it",
        "install the CPU build of the same torch version: pip install torch==X.Y.Z+cpu",
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
        r"not implemented for DT_BFLOAT16|EZ1001.*BFLOAT16",
        "this NPU (310P, 910A) has no bf16",
        "training.precision=fp16; a 310P is made for inference and does not train",
    ),
    (
        r"does not has any binary|errno:561000|Parse dynamic kernel config fail",
        "the kernels package is missing or of another CANN version [inferred]",
        "install the kernels package for this chip and this CANN version",
    ),
    (
        r"507033|E30006",
        "driver and CANN do not fit each other [inferred]",
        "align driver, firmware and CANN by the vendor's version table",
    ),
    (
        r"507899|drvRet=87|EL0005",
        "the device is busy, or this user may not open it",
        "see `npu-smi info` for who holds it; join the driver's group, or pass the device into the container",
    ),
    (
        r"aclInit.*507008|507008.*aclInit",
        "the container lacks a device or the driver [inferred]",
        "pass --device /dev/davinciN, /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc and mount the driver",
    ),
    (
        r"EJ0001|last training process is running",
        "an earlier training process still holds the chips",
        "end it (`npu-smi info` lists it), wait 10 s and start again",
    ),
    (
        r"EI0002|\b507048\b",
        "another rank died or is slow, and this one waited for it",
        "look at the log of the rank that failed first; HCCL_EXEC_TIMEOUT lengthens the wait",
    ),
    (
        r"AclSetCompileopt.*500001|error code is 500001",
        "CANN's compiler could not be started: a Python package it needs is missing, or CANN is not sourced [inferred]",
        "source set_env.sh; pip install decorator attrs psutil scipy cloudpickle ml-dtypes tornado",
    ),
    (
        r"Cannot re-initialize NPU in forked subprocess",
        "a process that had used the NPU forked",
        "set dataloader workers to 0 or their start method to spawn",
    ),
    (
        r"errno: ?98\b|EADDRINUSE|Address already in use",
        "the port is taken, often by a process of an earlier run",
        "end that process, or choose another port (MASTER_PORT for a training)",
    ),
    (
        r"NPU out of memory|NPUWorkspaceAllocator tried to allocate|CUDA out of memory",
        "the chip's memory is full",
        "training.batch_size=1 with more training.gradient_accumulation, a shorter training.cutoff_length, or "
        "method=qlora; `npu-smi info` or nvidia-smi shows who else holds memory",
    ),
    (
        r"DefaultCPUAllocator: (can't|not enough)|Cannot allocate memory|MemoryError",
        "the host's memory is full",
        "a smaller training.batch_size or training.cutoff_length, or a machine with more memory",
    ),
    (
        r"No space left on device",
        "the disk is full",
        "free some, or set output= to a folder on another disk",
    ),
    (
        r"operator torchvision::nms does not exist|undefined symbol.*torch(vision|audio)",
        "torchvision or torchaudio do not fit torch",
        "install the builds of the same release as torch, or uninstall them",
    ),
    (
        r"GLIBC(XX)?_[0-9.]+' not found",
        "a compiled library needs a newer system than this one",
        "use a newer base image, or a build for this system",
    ),
    (
        r"(HTTPSConnectionPool|MaxRetryError|ConnectionError|LocalEntryNotFoundError|couldn't connect to)",
        "something had to be fetched and the network did not answer",
        "fetch the model or data beforehand and give its local path; behind a mirror set HF_ENDPOINT",
    ),
    (
        r"is not currently supported on the NPU backend and will fall back to run on the CPU",
        "torch-npu lacks an operator, which then runs on the CPU: slow, not fatal",
        "a newer torch-npu may have it; look for the real error elsewhere in the log",
    ),
)


def diagnoses(text: str) -> list[Diagnosis]:
    """Every known symptom in a log, each once, the most decisive first."""
    lines = text.splitlines()
    found = []
    if error := parse_error(text):
        found.append(Diagnosis(line=error.message, cause=error.cause, fix=error.fix))
    for pattern, cause, fix in _SYMPTOMS:
        line = next((line.strip() for line in lines if re.search(pattern, line)), None)
        if line is not None:
            found.append(Diagnosis(line=line[:300], cause=cause, fix=fix))
    return found


def diagnose(text: str) -> Diagnosis | None:
    """The most decisive known symptom in a log; None where there is none."""
    return next(iter(diagnoses(text)), None)
