"""What failed runs say, what that means, what helps, and where it is known from.

What ends in [inferred] is not documented. NAME#1 is an issue or a pull request of that repository on GitHub; CANN's
error codes are those of its troubleshooting guide (hiascend.com, maintenref); a path is a file of the library's source.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.processes.passages import TRACKERS


@dataclass(frozen=True)
class Symptom:
    """A line of a log that is known."""

    pattern: str
    """A regular expression, to be searched in a line without indentation."""
    cause: str
    fix: str
    source: str
    """Who says so."""
    elsewhere: bool = False
    """It tells that another process failed or is slow, or a tracker's server, not why."""
    transient: bool = False
    """The same run may do well the next time."""
    printed: str = ""
    """How the words stand in a line that no traceback led to, where people quote them; empty: as in any other."""


def _code(*numbers: int) -> str:
    """Error codes of the NPU runtime, as torch-npu and the runtime write them; the bare number may be a loss's digits.

    Forms: `error code is 507899`, `error code:507035`, `ErrCode=507899`, `result = 507033`, `failed: 507033`."""
    return rf"(?i:(?:code|errno|result|failed|\bret)(?: is)?[ :=\[]{{1,3}})(?:{'|'.join(map(str, numbers))})\b"


_EMBEDDINGS = r"(?:embed_tokens|word_embeddings|tok_embeddings|embed_in|embed_out|\bwte|lm_head|output_layer)\b"

_NO_MEMORY = (
    r"NPUWorkspaceAllocator tried to allocate|CUDA error: out of memory|Cuda failure (2 )?'out of memory'"
    r"|CUBLAS_STATUS_ALLOC_FAILED when calling"
)

SYMPTOMS: tuple[Symptom, ...] = (
    # --- Ended from outside: nothing was said after it.
    Symptom(
        r"DefaultCPUAllocator: (can't|not enough)|Cannot allocate memory|(?<!OutOf)MemoryError\b|std::bad_alloc"
        r"|the host ran out of memory|(?i:out of memory: killed process)|\bOOMKilled\b|\boom[-_]kill\b"
        r"|task \d+: Out Of Memory|Some of your processes may have been killed by the cgroup out-of-memory"
        r"|error: Exceeded (step|job) memory limit|fork: 无法分配内存",
        "the host's memory is full",
        "a smaller training.batch_size or training.cutoff_length, or a machine with more memory",
        "torch's c10/core/impl/alloc_cpu.cpp; Linux (ENOMEM, oom_kill); Kubernetes and Slurm",
    ),
    Symptom(
        r"((?i:code|status)|退出码|退出状态)( is)?\s*[:：=]?\s*(-9|137)\b|(?i:\bsignal:? (9|SIGKILL|Killed)\b)"
        r"|Signals\.SIGKILL|\b(got|received|sent) SIGKILL"
        # The shell's own words.
        r"|^(\S+: line \d+:\s+\d+ |\[\d+\][+-]?\s+(\d+ )?)?[Kk]illed"
        r"((: 9)?\s*$|\s{2,}\S|\s+\S*(python|torchrun|llamafactory))"
        r"|^(\S+: ?行 ?\d+:\s+\d+ |\[\d+\][+-]?\s+(\d+ )?)?已杀死(\s*$|\s{2,})",
        "a process was killed (SIGKILL): most often by the kernel, because the host's memory is full, else by whoever "
        "manages the machine [inferred]",
        "dmesg on the host tells whether the kernel did it; then a smaller training.batch_size or "
        "training.cutoff_length, fewer llamafactory.preprocessing_num_workers, or more memory for the container or job",
        "torch/distributed/elastic/multiprocessing; DeepSpeed's launcher; LlamaFactory#4629 and #9116",
        transient=True,
    ),
    Symptom(
        r"CANCELLED AT \S+ DUE TO TIME LIMIT",
        "Slurm ended the job, whose time was up",
        "ask for more time (sbatch --time=D-HH:MM:SS, up to the partition's limit in `sinfo`), or train less: fewer "
        "training.epochs or dataset.train_samples",
        "Slurm's slurmstepd; zetta_utils#671",
    ),
    # --- The libraries do not load.
    Symptom(
        r"lib(hccl|ascendcl|ascend_hal)\.so: cannot open shared object file",
        "the CANN environment is not sourced",
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh (from CANN 8.5 on /usr/local/Ascend/cann/set_env.sh) in "
        "the shell that starts the run; TORCH_DEVICE_BACKEND_AUTOLOAD=0 lets plain torch import without it",
        "Ascend/pytorch's installation guide (FAQ)",
    ),
    Symptom(
        r"ASCEND_OPP_PATH environment variable is not set",
        "the operator package of CANN is missing, or not sourced",
        "install the kernels (ops) package of the same CANN version and source set_env.sh again",
        "torch-npu's own message",
    ),
    Symptom(
        r"Two accelerators cannot be used at the same time in PyTorch: npu and npu",
        "torch-npu was loaded twice: its first import failed halfway, often for want of pkg_resources [inferred]",
        "pip install 'setuptools<81'; else export TORCH_DEVICE_BACKEND_AUTOLOAD=0",
        "torch_npu/__init__.py; notes of its users",
    ),
    Symptom(
        r"Two accelerators cannot be used at the same time in PyTorch: npu and (?!npu)",
        "torch is a CUDA build and torch-npu is beside it",
        "pip uninstall -y torch && pip install torch==X.Y.Z --index-url https://download.pytorch.org/whl/cpu, "
        "with the version that torch has now",
        "torch_npu/__init__.py",
    ),
    Symptom(
        r"libtorch_npu\.so: undefined symbol",
        "torch and torch-npu are of different versions",
        "install torch-npu of exactly the version of torch",
        "sglang#28628",
    ),
    Symptom(
        r"No module named 'torch_npu\._C'",
        "Python runs inside torch-npu's source tree and imports that",
        "start from another directory",
        "Ascend/pytorch's installation guide (FAQ)",
    ),
    Symptom(
        r"libgomp.*cannot allocate memory in static TLS block",
        "on aarch64 libgomp was loaded too late",
        "LD_PRELOAD the libgomp file that the message names",
        "MindSDK's and MindCluster's guides (hiascend.com)",
    ),
    Symptom(
        r"(NVIDIA driver on your system is too old|CUDA driver version is insufficient for CUDA runtime version)",
        "the NVIDIA driver is older than the CUDA that torch was built for",
        "upgrade the driver, or install the torch build for an older CUDA (`harness doctor` names both versions)",
        "torch's and CUDA's own messages",
    ),
    Symptom(
        r"Torch not compiled with CUDA enabled",
        "torch is a CPU build",
        "pip uninstall -y torch && pip install torch==X.Y.Z, with the version that torch has now; or device.name=cpu",
        "torch/cuda/__init__.py",
    ),
    Symptom(
        r"no kernel image is available for execution on the device",
        "torch or bitsandbytes was not built for this GPU's generation",
        "install a torch build whose torch.cuda.get_arch_list() names this GPU's compute capability",
        "CUDA's own message (cudaErrorNoKernelImageForDevice)",
    ),
    # --- Something is full.
    Symptom(
        rf"(?:CUDA|NPU|HIP) out of memory|{_NO_MEMORY}",
        "the chip's memory is full",
        "training.batch_size=1 with more training.gradient_accumulation, a shorter training.cutoff_length, or "
        "method=qlora; `npu-smi info` or nvidia-smi shows who else holds memory",
        "torch-npu's NPUCachingAllocator.cpp; torch's CUDACachingAllocator.cpp; LlamaFactory#5491; Qwen3#873",
        printed=rf"(?:CUDA|NPU|HIP) out of memory(?=\. ?(?:Tried to allocate|\()|[. ]*$)|{_NO_MEMORY}",
    ),
    Symptom(
        r"Some modules are dispatched on the CPU or the disk(\. Make sure you have)?",
        "the quantized model does not fit into the memory that is free on the chips: parts of it would go to the CPU",
        "end what else holds memory (nvidia-smi or `npu-smi info` shows it); a smaller model, or fewer bits "
        "(quantization=nf4)",
        "transformers/quantizers/quantizer_bnb_4bit.py",
    ),
    Symptom(
        r"\bEL0004\b|\bEL0019\b|\bEI0007\b|\bEI0011\b|driver error: ?out of memory|alloc(ate)? device memory failed"
        r"|Heap_alloc\w* out of memory"
        r"|\b(rt|aclrt|hal)(Mem)?(Malloc|Alloc)\w* (execut(e|ion) )?failed|Failed to allocate memory\b|"
        + _code(200000, 207001, 207005, 207018),
        "the driver has no memory of the chip left: other processes hold it, or what torch does not count (HCCL's "
        "buffers, the operators' workspace)",
        "`npu-smi info` shows who holds memory: end what is left over; then training.batch_size=1, a shorter "
        "training.cutoff_length, or method=qlora",
        "CANN's error codes EL0004, EL0019, EI0007 and EI0011; torch-npu's NPUErrorCodes.h; LlamaFactory#6816",
    ),
    Symptom(
        r"shared memory segment \S*nccl-",
        "/dev/shm is too small for NCCL, through which GPUs of one machine exchange data",
        "docker run --shm-size=16g (or --ipc=host); NCCL_SHM_DISABLE=1 does without",
        "NVIDIA NCCL's user guide (troubleshooting); LlamaFactory#7233",
    ),
    Symptom(
        r"(out of|insufficient) shared memory|unable to \w+ .*</torch_",
        "/dev/shm is full, through which the workers of a data loader pass their batches",
        "docker run --shm-size=16g, or llamafactory.dataloader_num_workers=0",
        "torch/utils/data's own message",
    ),
    Symptom(
        # With `>: ` before it, it is about a file in /dev/shm.
        r"(?<!>: )No space left on device|设备上没有空间",
        "the disk is full",
        "free some, or set output= to a folder on another disk",
        "Linux (ENOSPC)",
        printed=r"(?<!>)(: |\] )No space left on device|: 设备上没有空间",
    ),
    Symptom(
        r"Disk quota exceeded|超出磁盘限额",
        "this user's share of the disk is used up",
        "free some (`quota -s` tells what is left), or set output=, and HF_HOME for what is fetched, to another disk",
        "Linux (EDQUOT)",
        printed=r"(: |\] )(Disk quota exceeded|超出磁盘限额)",
    ),
    Symptom(
        r"Too many open files",
        "the limit of open files is reached",
        "ulimit -n 65535 in the shell that starts the run",
        "Linux (EMFILE)",
        printed=r"(: |\] |^)Too many open files",
    ),
    Symptom(
        # The same words of another call tell of a lock, or of a pipe that is full.
        r"can't start new thread|pthread_create failed|Thread creation failed: |\bfork\b.*: Resource temporarily"
        r"|\bfork: .*资源暂时不可用",
        "the limit of processes and threads is reached",
        "ulimit -u unlimited, in a container docker run --pids-limit=-1; OMP_NUM_THREADS=4 needs fewer",
        "Linux (EAGAIN); Python's and OpenMP's own messages",
    ),
    # --- The model's files and the data.
    Symptom(
        r"Error while deserializing header|HeaderToo(Large|Small)|InvalidHeader|MetadataIncompleteBuffer"
        r"|invalid load key, '[v<]'|PytorchStreamReader failed reading zip archive|without having git-lfs installed"
        r"|Unable to load weights from \w+ checkpoint|could not parse ModelProto|ParseFromArray\(serialized",
        "a file of the model is not whole: a pointer of git-lfs stands in its place, or its download broke off",
        "`git lfs pull` in the model's folder, or fetch the model again, and compare the sizes of its files",
        "safetensors/src/tensor.rs; MFTCoder#20; OmniParser#34",
    ),
    Symptom(
        r"size mismatch for .*Size\(\[0\]\)",
        "layers of the adapter were empty when it was saved or loaded: DeepSpeed ZeRO-3 had shared them out [inferred]",
        "train and load with ZeRO-2 (llamafactory.deepspeed), or without the layers in llamafactory.additional_target",
        "torch/nn/modules/module.py; LlamaFactory#7665",
    ),
    Symptom(
        rf"size mismatch for (?!\S*{_EMBEDDINGS}|.*Size\(\[0\]\))"
        r"|Trying to set a tensor of shape torch\.Size\(\[(?!\d{5,}, )",
        "adapter and base do not fit each other: it was trained on another model, or with another rank",
        "load it on the base that its adapter_config.json names (base_model_name_or_path), with its own rank",
        "torch/nn/modules/module.py; accelerate/utils/modeling.py",
    ),
    Symptom(
        rf"size mismatch for (?!.*Size\(\[0\]\))\S*{_EMBEDDINGS}"
        r"|Trying to set a tensor of shape torch\.Size\(\[\d{5,}, ",
        "the vocabulary has another size than the one that was trained: tokens were added to one of both alone",
        "load with the tokenizer of the training and llamafactory.resize_vocab=true, or on the base of the training",
        "torch/nn/modules/module.py; accelerate/utils/modeling.py; LlamaFactory#3125, #4832 and #5262",
    ),
    Symptom(
        r"Cannot find (valid|sufficient) samples(, check|, consider)?",
        "no row of the data was left to train on: its keys or its format are not those that are declared, or there "
        "are too few rows",
        "name the rows' keys in dataset.columns and their format in dataset.formatting; `harness data --output FOLDER` "
        "writes the rows as they would be trained on",
        "llamafactory/data/loader.py; LlamaFactory#2577 and #7065",
    ),
    Symptom(
        r"Undefined dataset \S+ in dataset_info\.json",
        "dataset_info.json, by which LLaMA-Factory finds data, has no entry of that name",
        "name it as an entry there does, or give the file itself: dataset.path=FILE",
        "llamafactory/data/parser.py",
    ),
    Symptom(
        r"Template \S+ does not exist",
        "LLaMA-Factory has no template of that name",
        "model.template=NAME, as one is registered in the installed llamafactory/data/template.py (qwen, llama3 ...)",
        "llamafactory/data/template.py",
    ),
    Symptom(
        r"does not recognize this architecture|Unrecognized configuration class <class"
        r"|Unrecognized model in \S.* Should have a `model_type`",
        "the installed transformers does not know this type of model, or config.json names none",
        "install a transformers that knows it (config.json's transformers_version, or the model's page, tells which); "
        "model.trust_remote_code=true where the model brings code of its own; else fetch its config.json again",
        "transformers/models/auto/configuration_auto.py and auto_factory.py",
    ),
    Symptom(
        r"trying to access a gated repo|Cannot access gated repo|Access to (model|dataset) \S+ is restricted"
        rf"|40[13] Client Error(?!.*{TRACKERS})|Invalid username or password"
        r"|is not a local folder and is not a valid model identifier",
        "the hub does not give out the model or the data: they are gated or private and no token with access was "
        "given, or there is nothing of that name",
        "look whether the name is right (model.path); accept the terms on its page, then export HF_TOKEN=TOKEN; or "
        "fetch it beforehand and give its folder",
        "transformers/utils/hub.py; huggingface_hub/errors.py",
    ),
    # --- The chip, its driver and CANN.
    Symptom(
        r"device-side assert triggered"
        r"|Assertion `?(srcIndex < srcSelectDimSize|t >= 0 && t < n_classes|-sizes\[i\] <= index)",
        "an index lay beyond a table on the GPU: mostly a token that the model's embeddings lack, or a label beyond "
        "its vocabulary",
        "CUDA_LAUNCH_BLOCKING=1, or the same run with device.name=cpu, shows in Python's traceback which; use the "
        "tokenizer and template of this model, and llamafactory.resize_vocab=true where tokens were added",
        "torch's Indexing.cu and Loss.cu; LlamaFactory#4214, #4624 and #5028",
        printed=r"CUDA error: device-side assert triggered"
        r"|Assertion `?(srcIndex < srcSelectDimSize|t >= 0 && t < n_classes|-sizes\[i\] <= index)",
    ),
    Symptom(
        # The list of types that an operator does have names BFLOAT16 as well.
        r"not implemented for DT_BFLOAT16(, should be in dtype support list)?",
        "this NPU (310P, 910A) has no bf16",
        "training.precision=fp16; a 310P is made for inference and does not train",
        "LlamaFactory#7522",
    ),
    Symptom(
        r"does not has any binary|errno: ?561000\b|Parse dynamic kernel config fail|" + _code(561003),
        "the kernels package is missing or of another CANN version [inferred]",
        "install the kernels package for this chip and this CANN version",
        "LlamaFactory#4610; CANN's aclnn return codes",
    ),
    Symptom(
        r"\bE30006\b(: check the version.*)?",
        "driver and CANN do not fit each other [inferred]",
        "align driver, firmware and CANN by the vendor's version table",
        "vllm-ascend#4284",
    ),
    Symptom(
        _code(507899) + r"|drvRet(Code)?=87\b|\bEL0005\b",
        "the device is busy, or this user may not open it",
        "see `npu-smi info` for who holds it; join the driver's group, or pass the device into the container",
        "CANN's error code EL0005; vllm-ascend#2542",
    ),
    Symptom(
        r"aclInit.*\b507008\b|\b507008\b.*aclInit|" + _code(507008),
        "the container lacks a device or the driver [inferred]",
        "pass --device /dev/davinciN, /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc and mount the driver",
        "PaddleOCR#16162; Paddle#72458",
    ),
    Symptom(
        r"\bEJ0001\b|last training process is running",
        "an earlier training process still holds the chips",
        "end it (`npu-smi info` lists it), wait 10 s and start again",
        "CANN's error code EJ0001; LlamaFactory#3839",
        transient=True,
    ),
    Symptom(
        r"(?i:uncorrectable (ECC|NVLink) error|(double|multi)[- ]bit ECC|HBM MULTI BIT ECC|\bUCE ERROR\b"
        r"|SUSPECT (MEM|REMOTE) ERROR|HCCS LINK ERROR|GPU is lost|fallen off the bus)|" + _code(507053, 507054, 507056),
        "the chip's memory or its link has a fault",
        "if it comes again, take another chip with device.chips, and have this one reset or replaced: `npu-smi info` "
        "and `nvidia-smi -q -d ECC` tell of its health",
        "torch-npu's NPUException.h; CUDA's cudaErrorECCUncorrectable; NVIDIA's Xid errors 48, 63, 64, 79 and 94",
        transient=True,
    ),
    Symptom(
        _code(507033),
        "the device did not start: an ended run's process still holds it, the chip is not healthy, or driver and CANN "
        "do not fit each other [inferred]",
        "look at Health and at the processes in `npu-smi info`: end what is left over, or choose another chip with "
        "device.chips; else align driver, firmware and CANN by the vendor's version table",
        "torch-npu's NPUErrorCodes.h; vllm-ascend#4284",
    ),
    Symptom(
        r"AclSetCompileopt.*\b500001\b|" + _code(500001),
        "CANN's compiler could not be started: a Python package it needs is missing, or CANN is not sourced [inferred]",
        "source set_env.sh; pip install decorator attrs psutil scipy cloudpickle ml-dtypes tornado",
        "Ascend/pytorch's troubleshooting (initialization_error); vllm-ascend#692",
    ),
    Symptom(
        r"(?i:ai ?(core|vec|vector) error\b|(aicore|vector core) exception\b|(aicore|vector core) timeout\b"
        r"|(aicore|vector core) execution (is abnormal|times out)|Aicore kernel execute failed|aicpu exception)|"
        + _code(507011, *range(507014, 507019), *range(507034, 507037), *range(507042, 507046), 507049, 507050),
        "an operator failed on the chip: it was given what it cannot take (an index beyond a table, as of a token that "
        "the model lacks), it has a fault, or the chip has [inferred]",
        "ASCEND_LAUNCH_BLOCKING=1 shows in Python's traceback which one; look at Health in `npu-smi info`; a newer "
        "CANN and torch-npu may have mended it; method=lora tells whether the quantization does it",
        "CANN's troubleshooting guide (AI Core errors); torch-npu's NPUErrorCodes.h; LlamaFactory#3670",
    ),
    Symptom(
        r"Cannot re-initialize NPU in forked subprocess",
        "a process that had used the NPU forked",
        "set llamafactory.dataloader_num_workers=0, or the start method of the workers to spawn",
        "torch-npu's own message; vllm-ascend#4502; LlamaFactory#7447",
    ),
    Symptom(
        r"errno: ?98\b|EADDRINUSE|Address already in use|but another process is utilizing it|\bEI0019\b|\bEI0020\b",
        "the port is taken, often by a process of an earlier run",
        "end that process, or choose another port (MASTER_PORT for a training)",
        "Ascend/pytorch's troubleshooting (port_number_distributed_task_in_use); Linux (EADDRINUSE)",
    ),
    # --- Other libraries.
    Symptom(
        r"requires (the latest version of )?bitsandbytes|`bitsandbytes` \d-bit quantization requires accelerate"
        r"|No module named 'bitsandbytes'|The 'bitsandbytes\S*' distribution was not found"
        r"|No package metadata was found for (the )?'?bitsandbytes|need to install `bitsandbytes`",
        "quantization needs bitsandbytes and accelerate, one of which is not installed or too old",
        "pip install -U bitsandbytes accelerate; method=lora needs no bitsandbytes",
        "transformers/quantizers/quantizer_bnb_4bit.py and trainer_optimizer.py",
        printed=r"Using `bitsandbytes` .*requires (the latest version of )?(bitsandbytes|accelerate)"
        r"|No module named 'bitsandbytes'|The 'bitsandbytes\S*' distribution was not found"
        r"|No package metadata was found for (the )?'?bitsandbytes|You need to install `bitsandbytes`",
    ),
    Symptom(
        r"None of the available devices .* are supported by the bitsandbytes version",
        "the installed bitsandbytes supports none of this machine's devices",
        "`harness doctor` tries the quantizations; install a bitsandbytes that was built for the device; method=lora "
        "needs none",
        "transformers/integrations/bitsandbytes.py",
    ),
    Symptom(
        r"has no attribute 'c(de)?(quantize|adam|adagrad|momentum|rmsprop|lion|i?gemm|int8|get_|percentile|prefetch"
        r"|extract|spmm|batched|transform)\w*'"
        r"|bitsandbytes (native )?library|libbitsandbytes\w*\.\w+: (cannot open|undefined symbol)"
        r"|bitsandbytes was compiled without GPU|CPU-only version of bitsandbytes|(CUDA|ROCm) binary (not )?found at"
        r"|CUDA Setup failed despite|name 'str2optimizer32bit' is not defined",
        "bitsandbytes has no native library for this device: none was built for it, or for another CUDA",
        "`python -m bitsandbytes` tells which it looks for; install a release that has it, or build it "
        "(cmake -DCOMPUTE_BACKEND=cuda, npu or cpu); `harness doctor` tries the quantizations; method=lora needs none",
        "bitsandbytes/cextension.py; bitsandbytes#693 and #1190; LlamaFactory#3271",
    ),
    Symptom(
        r"Processor was not found, please check and update your model file",
        "the model sees or hears, and what prepares that cannot be loaded: there is no preprocessor_config.json in its "
        "folder, or torchvision does not fit torch",
        "fetch the whole model again; install the torchvision of torch's version (python -c 'import torchvision' shows "
        "whether it loads)",
        "llamafactory/data/mm_plugin.py",
    ),
    Symptom(
        r"The 'deepspeed\S*' distribution was not found|No module named 'deepspeed'",
        "llamafactory.deepspeed asks for DeepSpeed, which is not installed",
        "pip install deepspeed, or leave out the arms that need it (on an NPU QLoRA fails beside it)",
        "transformers/utils/versions.py",
    ),
    Symptom(
        r"operator torchvision::nms does not exist|torch(vision|audio)\S*\.so: undefined symbol"
        r"|Could not load this library: \S*torch(vision|audio)",
        "torchvision or torchaudio do not fit torch",
        "install the builds of the same release as torch, or uninstall them",
        "torchvision's and torchaudio's own messages, seen with CUDA builds beside a CPU build of torch",
    ),
    Symptom(
        r"GLIBC(XX)?_[0-9.]+' not found",
        "a compiled library needs a newer system than this one",
        "use a newer base image, or a build for this system",
        "the dynamic loader's own message (glibc)",
    ),
    Symptom(
        r"(HTTPSConnectionPool|MaxRetryError|\bConnectionError: (?!Tried to launch)|LocalEntryNotFoundError"
        r"|couldn't connect to |OfflineModeIsEnabled|Temporary failure in name resolution)"
        rf"(?!.*{TRACKERS})",
        "something had to be fetched and the network did not answer",
        "fetch the model or data beforehand and give its local path; behind a mirror set HF_ENDPOINT",
        "the messages of requests, huggingface_hub and datasets",
    ),
    # --- What an error elsewhere brings about.
    Symptom(
        r"\bEI0006\b|\bEI0015\b|Getting socket times out|wait socket establish timeout"
        r"|topo exchange agent get socket timeout",
        "HCCL's connection to another rank did not come about in time: that rank failed, came late, or the network "
        "between both is blocked",
        "look at the log of the rank that failed first; HCCL_CONNECT_TIMEOUT=1200 waits longer than 120 s; between "
        "machines HCCL_SOCKET_IFNAME names the network card, and `hccn_tool -i 0 -tls -g` must answer alike on all",
        "CANN's error codes EI0006 and EI0015; LlamaFactory#5071; vllm-ascend#486",
        elsewhere=True,
        transient=True,
    ),
    Symptom(
        r"\bEI0002\b|" + _code(507048),
        "another rank died or is slow, and this one waited for it",
        "look at the log of the rank that failed first; HCCL_EXEC_TIMEOUT lengthens the wait",
        "CANN's error code EI0002; Ascend/pytorch's troubleshooting (HCCL_timeout)",
        elsewhere=True,
        transient=True,
    ),
    Symptom(
        r"\bEE1002\b|(?i:stream sync(hronize)? timeout)|reason=\[?task timeout|"
        + _code(507046, 507047, 107019, 107020),
        "the chip was not done within the time limit: mostly another rank died, or is busy (as with preparing the "
        "data) and all wait for it [inferred]",
        "look at the log of the rank that failed first; more llamafactory.preprocessing_num_workers prepare the data "
        "sooner; ACL_DEVICE_SYNC_TIMEOUT=7200 waits longer (seconds)",
        "CANN's error code EE1002; torch-npu's NPUErrorCodes.h and ACL_DEVICE_SYNC_TIMEOUT; LlamaFactory#5551; "
        "Ascend/pytorch#62",
        elsewhere=True,
    ),
    Symptom(
        r"Watchdog caught collective operation timeout|NCCL watchdog thread terminated|Timeout at NCCL work"
        r"|watchdog got stuck|Some NCCL operations have failed or timed out"
        r"|Timed out waiting \d+ms for (recv|send) operation",
        "a rank waited too long for the others: one died, is slow, or still prepares the data",
        "look at the log of the rank that failed first; llamafactory.ddp_timeout=180000000 waits longer, more "
        "llamafactory.preprocessing_num_workers prepare the data sooner",
        "torch's ProcessGroupNCCL.cpp; LlamaFactory#2424 and #2902",
        elsewhere=True,
        transient=True,
    ),
    Symptom(
        r"DistStoreError|Rendezvous(Timeout|Connection|Closed)Error|waiting for clients\b|\d+/\d+ clients joined"
        r"|client socket has (timed out|failed to connect)|connection to the C10d store has failed"
        r"|connect\(\) timed out\. Original timeout|wait timeout after \d+ ?ms|Socket Timeout\b"
        r"|Timed out initializing process group|store->get\(",
        "the processes of the run did not all meet in time: one was not started or failed before, or the address of "
        "node 0 cannot be reached",
        "start the same command on every machine within launch.join_seconds, with the launch.master_addr of node 0 and "
        "a launch.node_rank of its own, and let launch.master_port through the firewall; else look at the log of the "
        "one that is missing",
        "torch's TCPStore.cpp and distributed/elastic/rendezvous; LlamaFactory#5864; pytorch#107021; Ascend/pytorch's "
        "troubleshooting (communication_domain_link_establishment_timeout)",
        elsewhere=True,
    ),
    Symptom(
        r"NCCL [Ee]rror\b|unhandled (system|cuda) error|\bnccl(\w+Error|Invalid\w+)\b",
        "NCCL could not connect the GPUs, or lost another rank",
        "look at the log of the rank that failed first; NCCL_DEBUG=INFO shows which call failed; NCCL_SOCKET_IFNAME "
        "names the network card, NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1 do without peer-to-peer and InfiniBand",
        "NVIDIA NCCL's user guide (troubleshooting); LlamaFactory#3250 and #6161; nccl#1381",
        elsewhere=True,
        transient=True,
    ),
    Symptom(
        r"Connection (closed|reset) by peer \[|\bgloo\b.*(closed|reset) by peer|(recvValue|sendBytes|recvBytes) failed"
        r"|Application timeout caused pair closure",
        "another process of the run ended, and this one lost the connection to it",
        "look at the log of the rank that failed first",
        "torch's TCPStore and gloo",
        elsewhere=True,
        transient=True,
    ),
    Symptom(
        rf"(HTTPS?ConnectionPool|ConnectError|ConnectTimeout|Client Error).*{TRACKERS}"
        rf"|{TRACKERS}\.(\w+\.)*\w*(Api|Comm|Connection|Network|Timeout)Error\b",
        "the server of the experiment tracker did not answer, or refused",
        "tracking=offline or tracking=disabled does without it; what ended a training mostly stands elsewhere in the "
        "log",
        "the messages of requests and httpx, through swanlab and wandb",
        elsewhere=True,
    ),
)
"""The most decisive first: of what one error says, what stopped the process before what that dragged behind it."""
SLOW: tuple[Symptom, ...] = (
    Symptom(
        r"is not currently supported on the NPU backend and will fall back to run on the CPU",
        "torch-npu lacks an operator, which then runs on the CPU: slow, not fatal",
        "a newer torch-npu may have it; look for the real error elsewhere in the log",
        "torch-npu's own message; LlamaFactory#6671",
    ),
)
"""Never why a run ended."""
