"""Why runs failed and what helps, in Chinese, by the cause that symptoms and npu-smi's errors give."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.runs.record import Diagnosis

DRIVER_ANSWERED = re.compile(r"the driver's management library answered (-[0-9]+)")

CAUSES: Mapping[str, tuple[str, str]] = {
    # 被外部终止。
    "a process was killed (SIGKILL): most often by the kernel, because the host's memory is full, else by whoever "
    "manages the machine [inferred]": (
        "进程被 SIGKILL 终止：多半是主机内存已满而被内核终止，否则是被机器的管理者或调度系统终止（推断）",
        "在主机上用 dmesg 查看是否由内核终止；若是，减小 training.batch_size 或 training.cutoff_length，减少 "
        "llamafactory.preprocessing_num_workers，或给容器、作业更多内存",
    ),
    "Slurm ended the job, whose time was up": (
        "作业时间已到，被 Slurm 终止",
        "申请更长的时间（sbatch --time=D-HH:MM:SS，不超过 `sinfo` 所列的分区上限），或减少训练量：减小 training.epochs "
        "或 dataset.train_samples",
    ),
    # 各种库无法加载。
    "the CANN environment is not sourced": (
        "没有加载 CANN 环境变量",
        "在启动训练的 shell 中执行 source /usr/local/Ascend/ascend-toolkit/set_env.sh（CANN 8.5 起为 "
        "/usr/local/Ascend/cann/set_env.sh）；若只想导入普通的 torch，设置 TORCH_DEVICE_BACKEND_AUTOLOAD=0",
    ),
    "the operator package of CANN is missing, or not sourced": (
        "缺少 CANN 的算子包，或没有加载其环境变量",
        "安装同一 CANN 版本的算子包（ops/kernels），再重新 source set_env.sh",
    ),
    "torch-npu was loaded twice: its first import failed halfway, often for want of pkg_resources [inferred]": (
        "torch-npu 被加载了两次：第一次导入中途失败，常因缺少 pkg_resources（推断）",
        "pip install 'setuptools<81'；否则 export TORCH_DEVICE_BACKEND_AUTOLOAD=0",
    ),
    "torch is a CUDA build and torch-npu is beside it": (
        "安装的 torch 是 CUDA 版本，又同时装有 torch-npu",
        "pip uninstall -y torch && pip install torch==X.Y.Z --index-url https://download.pytorch.org/whl/cpu，版本号"
        "与现有 torch 相同",
    ),
    "torch and torch-npu are of different versions": (
        "torch 与 torch-npu 版本不一致",
        "安装与 torch 版本号完全相同的 torch-npu",
    ),
    "Python runs inside torch-npu's source tree and imports that": (
        "当前目录在 torch-npu 的源码树里，Python 导入的是源码",
        "换一个目录再启动",
    ),
    "on aarch64 libgomp was loaded too late": (
        "aarch64 上 libgomp 加载得太晚",
        "用 LD_PRELOAD 预先加载报错信息中的 libgomp 文件",
    ),
    "the NVIDIA driver is older than the CUDA that torch was built for": (
        "NVIDIA 驱动比 torch 编译时所用的 CUDA 旧",
        "升级驱动，或安装面向较旧 CUDA 的 torch（`harness doctor` 会列出两者的版本）",
    ),
    "torch is a CPU build": (
        "安装的 torch 是 CPU 版本",
        "pip uninstall -y torch && pip install torch==X.Y.Z，版本号与现有 torch 相同；或改用 device.name=cpu",
    ),
    "torch or bitsandbytes was not built for this GPU's generation": (
        "torch 或 bitsandbytes 没有针对这一代 GPU 编译",
        "安装 torch.cuda.get_arch_list() 中包含这块 GPU 计算能力的 torch",
    ),
    # 资源耗尽。
    "the chip's memory is full": (
        "芯片显存已满",
        "training.batch_size=1 并增大 training.gradient_accumulation，缩短 training.cutoff_length，或改用 "
        "method=qlora；用 `npu-smi info` 或 nvidia-smi 查看还有谁占用显存",
    ),
    "the host's memory is full": (
        "主机内存已满",
        "减小 training.batch_size 或 training.cutoff_length，或换用内存更大的机器",
    ),
    "the driver has no memory of the chip left: other processes hold it, or what torch does not count (HCCL's "
    "buffers, the operators' workspace)": (
        "驱动已无可分配的芯片内存：被其他进程占用，或被 torch 不计入的部分占用（HCCL 缓冲区、算子的 workspace）",
        "用 `npu-smi info` 查看谁占用显存，结束残留进程；再设 training.batch_size=1，缩短 training.cutoff_length，"
        "或改用 method=qlora",
    ),
    "/dev/shm is too small for NCCL, through which GPUs of one machine exchange data": (
        "/dev/shm 对 NCCL 来说太小，同一台机器的 GPU 要通过它交换数据",
        "docker run --shm-size=16g（或 --ipc=host）；NCCL_SHM_DISABLE=1 则不使用它",
    ),
    "/dev/shm is full, through which the workers of a data loader pass their batches": (
        "/dev/shm 已满，数据加载进程要通过它传递批次",
        "docker run --shm-size=16g，或 llamafactory.dataloader_num_workers=0",
    ),
    "the disk is full": ("磁盘已满", "清理磁盘，或用 output= 指定另一块磁盘上的目录"),
    "the quantized model does not fit into the memory that is free on the chips: parts of it would go to the CPU": (
        "量化后的模型放不进芯片的空闲显存：有一部分会被放到 CPU 上",
        "结束其他占用显存的进程（用 nvidia-smi 或 `npu-smi info` 查看）；换用更小的模型，或更少的位数"
        "（quantization=nf4）",
    ),
    "this user's share of the disk is used up": (
        "当前用户的磁盘配额已用完",
        "清理文件（`quota -s` 显示余量），或用 output= 和 HF_HOME（存放下载的内容）指定另一块磁盘",
    ),
    "the limit of open files is reached": (
        "打开的文件数达到上限",
        "在启动训练的 shell 中执行 ulimit -n 65535",
    ),
    "the limit of processes and threads is reached": (
        "进程和线程数达到上限",
        "ulimit -u unlimited，容器中用 docker run --pids-limit=-1；设置 OMP_NUM_THREADS=4 可减少线程",
    ),
    # 模型文件与数据。
    "a file of the model is not whole: a pointer of git-lfs stands in its place, or its download broke off": (
        "模型文件不完整：只有 git-lfs 的指针文件，或下载中断",
        "在模型目录中执行 `git lfs pull`，或重新下载模型，并核对各文件的大小",
    ),
    "layers of the adapter were empty when it was saved or loaded: DeepSpeed ZeRO-3 had shared them out [inferred]": (
        "适配器有些层在保存或加载时是空的：参数已被 DeepSpeed ZeRO-3 切分（推断）",
        "改用 ZeRO-2 训练和加载（llamafactory.deepspeed），或去掉 llamafactory.additional_target 中的这些层",
    ),
    "adapter and base do not fit each other: it was trained on another model, or with another rank": (
        "适配器与基座模型不匹配：它是在另一个模型上、或以另一个 rank 训练的",
        "加载到其 adapter_config.json 所记的基座模型上（base_model_name_or_path），并使用它自己的 rank",
    ),
    "the vocabulary has another size than the one that was trained: tokens were added to one of both alone": (
        "词表大小与训练时不同：只有其中一方添加过 token",
        "加载时使用训练时的 tokenizer 和 llamafactory.resize_vocab=true，或加载到当时训练所用的基座模型上",
    ),
    "no row of the data was left to train on: its keys or its format are not those that are declared, or there "
    "are too few rows": (
        "没有一行数据可用于训练：字段名或格式与声明的不符，或行数太少",
        "用 dataset.columns 指明各字段名，用 dataset.formatting 指明格式；`harness data --output FOLDER` 会写出实际"
        "用于训练的各行",
    ),
    "dataset_info.json, by which LLaMA-Factory finds data, has no entry of that name": (
        "LLaMA-Factory 据以查找数据的 dataset_info.json 中没有这个名称",
        "改用其中已有的名称，或直接给出文件：dataset.path=FILE",
    ),
    "LLaMA-Factory has no template of that name": (
        "LLaMA-Factory 没有这个名称的模板",
        "model.template=NAME，名称须已在所安装的 llamafactory/data/template.py 中注册（qwen、llama3 等）",
    ),
    "the installed transformers does not know this type of model, or config.json names none": (
        "所安装的 transformers 不认识这种模型，或 config.json 中没有写明类型",
        "安装认识它的 transformers（见 config.json 的 transformers_version 或模型主页）；模型自带代码时设置 "
        "model.trust_remote_code=true；否则重新下载 config.json",
    ),
    "the hub does not give out the model or the data: they are gated or private and no token with access was "
    "given, or there is nothing of that name": (
        "模型库不提供该模型或数据：它需要授权或是私有的，而没有给出有权限的 token；或没有这个名称",
        "核对名称（model.path）；在其主页上接受条款，再 export HF_TOKEN=TOKEN；或事先下载并给出其目录",
    ),
    # 芯片、驱动与 CANN。
    "an index lay beyond a table on the GPU: mostly a token that the model's embeddings lack, or a label beyond "
    "its vocabulary": (
        "GPU 上的索引越界：多半是 token 超出模型的词嵌入表，或标签超出词表",
        "设置 CUDA_LAUNCH_BLOCKING=1，或改用 device.name=cpu 运行一次，Python 的调用栈会指出在哪里；使用该模型自己的 "
        "tokenizer 和模板；添加过 token 时设置 llamafactory.resize_vocab=true",
    ),
    "this NPU (310P, 910A) has no bf16": (
        "这种 NPU（310P、910A）不支持 bf16",
        "training.precision=fp16；310P 面向推理，不能训练",
    ),
    "the kernels package is missing or of another CANN version [inferred]": (
        "缺少算子包，或其 CANN 版本不同（推断）",
        "安装与本芯片、本 CANN 版本对应的算子包",
    ),
    "driver and CANN do not fit each other [inferred]": (
        "驱动与 CANN 不匹配（推断）",
        "按厂商的版本配套表对齐驱动、固件和 CANN",
    ),
    "the device is busy, or this user may not open it": (
        "设备被占用，或当前用户无权打开",
        "用 `npu-smi info` 查看被谁占用；加入驱动所属的用户组，或把设备传入容器",
    ),
    "the container lacks a device or the driver [inferred]": (
        "容器中缺少设备或驱动（推断）",
        "传入 --device /dev/davinciN、/dev/davinci_manager、/dev/devmm_svm、/dev/hisi_hdc，并挂载驱动",
    ),
    "the chip's memory or its link has a fault": (
        "芯片的显存或互联发生故障",
        "若再次出现，用 device.chips 换一张芯片，并复位或更换该芯片；`npu-smi info` 和 `nvidia-smi -q -d ECC` "
        "可查看其健康状况",
    ),
    "an earlier training process still holds the chips": (
        "先前的训练进程仍占用芯片",
        "结束该进程（见 `npu-smi info`），等待 10 秒后重新启动",
    ),
    "the device did not start: an ended run's process still holds it, the chip is not healthy, or driver and CANN "
    "do not fit each other [inferred]": (
        "设备没有启动：已结束的运行仍有进程占用，芯片状态异常，或驱动与 CANN 不匹配（推断）",
        "查看 `npu-smi info` 中的 Health 和进程：结束残留进程，或用 device.chips 换一块芯片；否则按厂商的版本配套表对"
        "齐驱动、固件和 CANN",
    ),
    "CANN's compiler could not be started: a Python package it needs is missing, or CANN is not sourced [inferred]": (
        "CANN 编译器无法启动：缺少它需要的 Python 包，或没有加载 CANN 环境变量（推断）",
        "source set_env.sh；pip install decorator attrs psutil scipy cloudpickle ml-dtypes tornado",
    ),
    "an operator failed on the chip: it was given what it cannot take (an index beyond a table, as of a token that "
    "the model lacks), it has a fault, or the chip has [inferred]": (
        "算子在芯片上执行失败：输入不合法（索引越界，例如模型没有的 token），或算子、芯片本身有故障（推断）",
        "设置 ASCEND_LAUNCH_BLOCKING=1 后，Python 的调用栈会指出是哪个算子；查看 `npu-smi info` 中的 Health；较新的 "
        "CANN 和 torch-npu 可能已修复；改用 method=lora 可判断是否由量化引起",
    ),
    "a process that had used the NPU forked": (
        "已使用 NPU 的进程又执行了 fork",
        "设置 llamafactory.dataloader_num_workers=0，或把数据加载进程的启动方式改为 spawn",
    ),
    "the port is taken, often by a process of an earlier run": (
        "端口被占用，多半是先前运行的进程",
        "结束该进程，或换一个端口（训练用 MASTER_PORT）",
    ),
    # 其他库。
    "quantization needs bitsandbytes and accelerate, one of which is not installed or too old": (
        "量化需要 bitsandbytes 和 accelerate，其中之一没有安装或版本太旧",
        "pip install -U bitsandbytes accelerate；method=lora 不需要 bitsandbytes",
    ),
    "the installed bitsandbytes supports none of this machine's devices": (
        "所安装的 bitsandbytes 不支持本机的任何设备",
        "`harness doctor` 会逐一试验各种量化方案；安装面向该设备的 bitsandbytes；method=lora 不需要它",
    ),
    "bitsandbytes has no native library for this device: none was built for it, or for another CUDA": (
        "bitsandbytes 没有适用于本设备的原生库：没有为它编译，或编译时面向另一个 CUDA 版本",
        "`python -m bitsandbytes` 会列出它要找的库；安装带有该库的版本，或自行编译（cmake "
        "-DCOMPUTE_BACKEND=cuda、npu 或 cpu）；`harness doctor` 会逐一试验各种量化方案；method=lora 不需要它",
    ),
    "the model sees or hears, and what prepares that cannot be loaded: there is no preprocessor_config.json in its "
    "folder, or torchvision does not fit torch": (
        "这是多模态模型，其预处理器无法加载：目录中没有 preprocessor_config.json，或 torchvision 与 torch 不匹配",
        "重新下载完整的模型；安装与 torch 版本对应的 torchvision（python -c 'import torchvision' 可检验能否加载）",
    ),
    "llamafactory.deepspeed asks for DeepSpeed, which is not installed": (
        "llamafactory.deepspeed 需要 DeepSpeed，而它没有安装",
        "pip install deepspeed，或去掉需要它的组（在 NPU 上 QLoRA 不能与它同用）",
    ),
    "torchvision or torchaudio do not fit torch": (
        "torchvision 或 torchaudio 与 torch 不匹配",
        "安装与 torch 同一次发布的版本，或把它们卸载",
    ),
    "a compiled library needs a newer system than this one": (
        "某个编译好的库需要比本机更新的系统",
        "使用更新的基础镜像，或面向本系统的版本",
    ),
    # 由别处的错误引起。
    "another rank died or is slow, and this one waited for it": (
        "另一个 rank 已退出或很慢，本 rank 一直在等它",
        "查看最先失败的那个 rank 的日志；HCCL_EXEC_TIMEOUT 可延长等待时间",
    ),
    "HCCL's connection to another rank did not come about in time: that rank failed, came late, or the network "
    "between both is blocked": (
        "HCCL 未能及时与另一个 rank 建链：该 rank 已失败、来得太晚，或两者之间网络不通",
        "查看最先失败的那个 rank 的日志；HCCL_CONNECT_TIMEOUT=1200 可等待更久（默认 120 s）；多机时用 "
        "HCCL_SOCKET_IFNAME 指定网卡，且各机执行 `hccn_tool -i 0 -tls -g` 的结果须一致",
    ),
    "the chip was not done within the time limit: mostly another rank died, or is busy (as with preparing the "
    "data) and all wait for it [inferred]": (
        "芯片未在时限内完成：多半是另一个 rank 已退出，或正忙于其他工作（如预处理数据）而大家都在等它（推断）",
        "查看最先失败的那个 rank 的日志；增大 llamafactory.preprocessing_num_workers 可更快预处理数据；"
        "ACL_DEVICE_SYNC_TIMEOUT=7200 可等待更久（秒）",
    ),
    "a rank waited too long for the others: one died, is slow, or still prepares the data": (
        "某个 rank 等待其他 rank 太久：有的已退出、很慢，或还在预处理数据",
        "查看最先失败的那个 rank 的日志；llamafactory.ddp_timeout=180000000 可等待更久，增大 "
        "llamafactory.preprocessing_num_workers 可更快预处理数据",
    ),
    "the processes of the run did not all meet in time: one was not started or failed before, or the address of "
    "node 0 cannot be reached": (
        "本次运行的各进程未能及时汇合：有的没有启动或已失败，或无法访问节点 0 的地址",
        "在 launch.join_seconds 之内于每台机器上启动同一条命令，launch.master_addr 均为节点 0 的地址，launch.node_rank "
        "各不相同，并在防火墙中放行 launch.master_port；否则查看缺席者的日志",
    ),
    "NCCL could not connect the GPUs, or lost another rank": (
        "NCCL 无法连接各 GPU，或与另一个 rank 失去联系",
        "查看最先失败的那个 rank 的日志；NCCL_DEBUG=INFO 会显示哪个调用失败；用 NCCL_SOCKET_IFNAME 指定网卡，"
        "NCCL_P2P_DISABLE=1 和 NCCL_IB_DISABLE=1 则不使用 P2P 和 InfiniBand",
    ),
    "another process of the run ended, and this one lost the connection to it": (
        "本次运行的另一个进程已结束，本进程与它失去连接",
        "查看最先失败的那个 rank 的日志",
    ),
    "the server of the experiment tracker did not answer, or refused": (
        "实验跟踪服务没有响应，或拒绝了请求",
        "tracking=offline 或 tracking=disabled 不需要它；训练失败的真正原因多半在日志别处",
    ),
    "something had to be fetched and the network did not answer": (
        "需要下载某些内容，而网络没有响应",
        "事先下载模型或数据，并给出本地路径；使用镜像时设置 HF_ENDPOINT",
    ),
    "torch-npu lacks an operator, which then runs on the CPU: slow, not fatal": (
        "torch-npu 缺少某个算子，改在 CPU 上执行：只是慢，不会致命",
        "较新的 torch-npu 可能已支持；真正的错误请在日志别处寻找",
    ),
    # npu-smi 的报错。
    "the driver cannot be reached: it was upgraded without a reboot, a container lacks devices or mounts, "
    "or another container holds the chip": (
        "无法访问驱动：升级后没有重启，容器缺少设备或挂载，或另一个容器占用了芯片",
        "升级驱动后重启；容器中传入 --device /dev/davinciN、/dev/davinci_manager、/dev/devmm_svm 和 "
        "/dev/hisi_hdc，并挂载 /usr/local/dcmi、/usr/local/Ascend/driver 和 /etc/ascend_install.info",
    ),
    "another container holds the chip, or /usr/local/dcmi and /etc/ascend_install.info are not mounted": (
        "另一个容器占用了芯片，或没有挂载 /usr/local/dcmi 和 /etc/ascend_install.info",
        "停掉那个容器，或给本容器换一块芯片；挂载 /usr/local/dcmi 和 /etc/ascend_install.info",
    ),
    "the driver did not tell the board's type": (
        "驱动没有给出板卡类型",
        "查看 `dmesg` 和驱动的安装情况；若上次开机后升级过驱动，请重启",
    ),
    "the driver sees no card": (
        "驱动没有识别到卡",
        "`lspci | grep d80` 应能看到；安装这种卡的驱动和固件",
    ),
    "npu-smi is not on the PATH": (
        "PATH 中没有 npu-smi",
        "在主机上安装驱动；容器中挂载 /usr/local/bin/npu-smi",
    ),
    "this card or driver does not know that query": (
        "这种卡或驱动不支持该查询",
        "改用 `npu-smi info`",
    ),
}


def cause_and_fix(diagnosis: Diagnosis) -> tuple[str, str]:
    """Return both in Chinese, or as they are where nobody has translated them."""
    if answered := DRIVER_ANSWERED.fullmatch(diagnosis.cause):
        return f"驱动的管理库返回 {answered[1]}", "在所用驱动的 DCMI 参考手册中查找这个数字"
    return CAUSES.get(diagnosis.cause, (diagnosis.cause, diagnosis.fix))
