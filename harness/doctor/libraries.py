"""Python, torch and what has to fit torch."""

from __future__ import annotations

from collections.abc import Iterator

from harness.doctor.cann import series, torch_npu_for
from harness.doctor.finding import Finding, failed, ok, warning
from harness.doctor.machine import Machine, Package

OLDEST_PYTHON = (3, 11)
"""pyproject.toml's requires-python."""
_INDEX = "https://download.pytorch.org/whl"
_WHOLE_SET = "pip install . --constraint constraints/constraints.txt"


def python(machine: Machine) -> Iterator[Finding]:
    """Look whether Python is new enough."""
    version, oldest = (".".join(map(str, numbers)) for numbers in (machine.python, OLDEST_PYTHON))
    if machine.python >= OLDEST_PYTHON:
        yield ok("Python", version)
    else:
        fix = f"python{oldest} -m venv .venv && .venv/bin/{_WHOLE_SET}"
        yield failed("Python", f"{version}: the harness needs {oldest} or newer", fix)


def torch(machine: Machine, kinds: tuple[str, ...]) -> Iterator[Finding]:
    """Look at torch itself, and whether its build is one for these accelerators (cuda, ascend)."""
    package = machine.package("torch")
    if package is None:
        yield failed("torch", "is not installed", _WHOLE_SET)
        return
    wanted = _wanted_build(machine, package, kinds)
    reinstall = f"pip uninstall -y torch && pip install torch=={package.release}"
    if wanted == "cuda":
        yield failed("torch", f"{package.version} is a CPU build and cannot use the NVIDIA GPU", reinstall)
    elif wanted == "cpu":
        yield failed(
            "torch",
            f"{package.version} is a CUDA build ({package.build}), beside which torch-npu does not load: "
            "Two accelerators cannot be used at the same time in PyTorch",
            f"{reinstall} --index-url {_INDEX}/cpu",
        )
    else:
        build = "" if package.build in (None, package.version.local) else f" ({package.build} build)"
        yield ok("torch", f"{package.version}{build}")


def _wanted_build(machine: Machine, torch: Package, kinds: tuple[str, ...]) -> str | None:
    """cpu or cuda, where these accelerators need another build of torch than this one."""
    if torch.build is None:
        return None
    if torch.build == "cpu":
        return "cuda" if "cuda" in kinds else None
    npu = "ascend" in kinds and ("cuda" not in kinds or machine.package("torch-npu") is not None)
    return "cpu" if npu else None


def torch_npu(machine: Machine) -> Iterator[Finding]:
    """Look whether torch-npu is there, of the same number as torch."""
    torch, own = machine.package("torch"), machine.package("torch-npu")
    if torch is None:
        return
    fitting = f"pip install torch-npu=={torch_npu_for(torch.release, series(machine))}"
    if own is None:
        yield failed("torch-npu", "is not installed: torch cannot use the NPU without it", fitting)
    elif own.release != torch.release:
        yield failed(
            "torch-npu",
            f"{own.version} beside torch {torch.version}: both must have the same number, else importing it ends in "
            "`undefined symbol`",
            fitting,
        )
    else:
        yield ok("torch-npu", f"{own.version}, as torch is")


def companions(machine: Machine, kinds: tuple[str, ...]) -> Iterator[Finding]:
    """Look whether torchvision and torchaudio fit torch. Text is trained without them, so nothing is a failure."""
    torch = machine.package("torch")
    found = [package for name in ("torchvision", "torchaudio") if (package := machine.package(name))]
    # A torch that has to make way for another build first says nothing of what fits.
    if torch is None or not found or _wanted_build(machine, torch, kinds):
        return
    misfits = [f"{package.name} {why}" for package in found if (why := _misfit(package, torch))]
    names = " and ".join(package.name for package in found)
    if not misfits:
        yield ok(names, ", ".join(str(package.version) for package in found) + f" beside torch {torch.version}")
        return
    index = f" --index-url {_INDEX}/{torch.build}" if torch.build else ""
    plain = " ".join(package.name for package in found)
    yield warning(
        names,
        f"{'; '.join(misfits)}. The harness works around it; plain llamafactory-cli fails on importing it",
        f"pip uninstall -y {plain} && pip install torch=={torch.release} {plain}{index}",
    )


def _misfit(package: Package, torch: Package) -> str | None:
    if package.torch is not None and not package.torch.contains(torch.version, prereleases=True):
        return f"{package.version} was built for torch {str(package.torch).lstrip('=')}, not {torch.release}"
    if package.build and torch.build and package.build != torch.build:
        return f"{package.version} is a {package.build} build, torch {torch.version} a {torch.build} build"
    return None


def deepspeed(machine: Machine) -> Iterator[Finding]:
    """Look for deepspeed, whose mere presence ends a QLoRA run on an NPU: SwanLab's LLaMA-Factory tutorial."""
    package = machine.package("deepspeed")
    if package is not None:
        yield failed(
            "deepspeed",
            f"{package.version} is installed: QLoRA on an NPU ends with an error where it is, used or not",
            "pip uninstall -y deepspeed; what needs it (method=lora_zero0) goes into an environment of its own",
        )
