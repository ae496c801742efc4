"""Which torch-npu belongs to which CANN: the version tables of Ascend/pytorch."""

from __future__ import annotations

from packaging.version import Version

CANN_OF = {
    "2.12.0": "9.1",
    "2.11.0": "9.1",
    "2.10.0.post4": "9.1",
    "2.9.0.post6": "9.1",
    "2.9.0.post2": "9.0",
    "2.9.0": "8.5",
    "2.8.0.post4": "9.0",
    "2.8.0.post2": "8.5",
    "2.8.0": "8.3",
    "2.7.1.post8": "9.1",
    "2.7.1.post4": "9.0",
    "2.7.1.post2": "8.5",
    "2.7.1": "8.3",
}
"""Newest first. 2.13.0 and 2.14.0 are published; the table names no CANN for them."""
_OLDEST_TORCH = Version("2.9")
"""What this project needs: pyproject.toml."""


def torch_npu_for(torch_release: str, cann: str | None) -> str:
    """Return the torch-npu to install beside this torch: for this CANN (9.1) if the table has it, else the newest."""
    posts = [version for version in CANN_OF if release_of(version) == torch_release]
    fitting = [version for version in posts if CANN_OF[version] == cann]
    return next(iter(fitting or posts), torch_release)


def newest_for(cann: str) -> str | None:
    """Return the newest torch-npu for this CANN that the project can use; None: too old, or not in the table."""
    return next((version for version, of in CANN_OF.items() if of == cann and Version(version) >= _OLDEST_TORCH), None)


def release_of(version: str) -> str:
    """Return the torch that a torch-npu belongs to: 2.9.0 of 2.9.0.post2."""
    return Version(version).base_version
