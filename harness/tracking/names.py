"""Which names SwanLab takes. One that it refuses ends the tracking of a run when that starts.

As in swanlab 0.10.3, sdk/internal/pkg/constraints, whose patterns know no letters but those of ASCII."""

from __future__ import annotations

import re

PROJECT = re.compile(r"[0-9a-zA-Z_\-+.]{1,100}")
WORKSPACE = re.compile(r"[0-9a-zA-Z_\-]{1,25}")
LONGEST_EXPERIMENT = 512
"""Characters."""


def experiment_name(pattern: str | None, sweep: str, arm: str, seed: int) -> str:
    """Return the name of a run in SwanLab. `pattern`: tracking.experiment, in which {arm} and {seed} are filled in.

    Raises what str.format does."""
    return pattern.format(arm=arm, seed=seed) if pattern else f"{sweep}/{arm}-seed{seed}"


def is_experiment(name: str) -> bool:
    """Return whether a run may have that name: half a surrogate pair, as YAML can write it, is no text."""
    return 0 < len(name) <= LONGEST_EXPERIMENT and not re.search("[\ud800-\udfff]", name)
