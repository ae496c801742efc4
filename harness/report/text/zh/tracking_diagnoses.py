"""Why SwanLab did not follow runs and what helps, in Chinese, by the cause that the tracker's symptoms give."""

from __future__ import annotations

from collections.abc import Mapping

CAUSES: Mapping[str, tuple[str, str]] = {
    "the disk is full": ("磁盘已满", "清理出空间，或用 output= 指定另一块磁盘上的目录"),
    "SwanLab found no key of an account": (
        "SwanLab 没有找到账号密钥",
        "export SWANLAB_API_KEY=KEY，或 `swanlab login`；tracking=local 两者都不需要",
    ),
    "SwanLab's server refuses the account's key": (
        "SwanLab 服务器拒绝该账号密钥",
        "export SWANLAB_API_KEY=KEY 或 `swanlab login --relogin`，换成在该服务器上有效的密钥；私有化部署还需设置 "
        "SWANLAB_API_HOST",
    ),
    "SwanLab's server does not answer": (
        "SwanLab 服务器没有应答",
        "tracking=local 和 tracking=offline 不需要网络；使用代理时 export HTTPS_PROXY=http://HOST:PORT",
    ),
    "SwanLab's server refuses what it is sent": (
        "SwanLab 服务器拒绝所发送的内容",
        "tracking.workspace= 和 tracking.project= 必须是该账号可以写入的",
    ),
    "SwanLab refuses a setting": (
        "SwanLab 不接受某项设置",
        "错误信息给出了它的名称：tracking 的某个键，或 SwanLab 自己的设置（变量 SWANLAB_...、.env、swanlab.yaml）",
    ),
    "the run was stopped or deleted in SwanLab's dashboard": (
        "训练期间，该实验在 SwanLab 看板中被停止或删除",
        "训练期间不要在看板中停止或删除它",
    ),
    "SwanLab or its dashboard is not installed as it has to be": (
        "SwanLab 或其看板没有正确安装",
        "pip install 'swanlab[dashboard]'，或 tracking=disabled",
    ),
    "SwanLab cannot write its files": ("SwanLab 无法写入自己的文件", "扫描目录中的 swanlog 必须是可写的目录"),
    "the process that talks to SwanLab was killed, by the kernel for want of memory or by somebody": (
        "与 SwanLab 通信的进程被终止：内存不足时由内核终止，或由他人终止",
        "若是内核终止，`dmesg` 中会有记录；下一次运行会照常跟踪",
    ),
    "SwanLab waits for a server or a disk that does not answer": (
        "SwanLab 在等待没有应答的服务器或磁盘",
        "tracking=local 不需要网络；用 output= 可换一块磁盘",
    ),
    "SwanLab could not go on": (
        "SwanLab 无法继续",
        "运行目录中的 logs/tracking.log 有更多信息；tracking=disabled 则不使用 SwanLab",
    ),
}
