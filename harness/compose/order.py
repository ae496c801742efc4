"""In which order the points of a sweep are run.

A machine that grows warm, or that others use for a while, must not be taken for an arm: the arms of a seed follow each
other, and which of them goes first is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

SWEEPER = "hydra_plugins.harness_sweeper.AlternatingSweeper"
"""The sweeper that runs points in this order, by the name under which Hydra takes it."""
_BLOCK = ("sweeps", "sweep", "seed")


def split(overrides: Sequence[Override], config: DictConfig) -> list[list[str]]:
    """Return the overrides of every point, in the order of the runs. Raises HydraException.

    All runs of a seed form a block; blocks come as sweeps and seeds were given. Within a block the order is drawn from
    the sweep's name, the seed and what each point alone has: another seed or arm more moves no other, and neither does
    what all points share, by which two machines that train together may differ (launch.node_rank). `config`: what they
    share, composed; it tells the name and the seed where no override does."""
    points: list[list[str]] = BasicSweeper.split_arguments(list(overrides), None)[0]
    values = [dict(_parted(override) for override in point) for point in points]
    own = [key for key in values[0] if key not in _BLOCK and len({point[key] for point in values}) > 1]
    shared = _shared(config)
    given = {key: list(dict.fromkeys(point.get(key) for point in values)) for key in _BLOCK}
    places = {key: {value: place for place, value in enumerate(found)} for key, found in given.items()}

    def place(number: int) -> tuple[list[int], str]:
        point = values[number]
        texts = [point.get(key, shared[key]) for key in _BLOCK] + sorted(f"{key}={point[key]}" for key in own)
        drawn = hashlib.sha256("\n".join(texts).encode()).hexdigest()
        return [places[key][point.get(key)] for key in _BLOCK], drawn

    return [points[number] for number in sorted(range(len(points)), key=place)]


def _parted(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+"), value


def _shared(config: DictConfig) -> dict[str, str]:
    """What names a block where no override does: not filled in, since what is swept over may fill it in."""
    named = OmegaConf.to_container(OmegaConf.masked_copy(config, ["sweep", "seed"]), resolve=False)
    assert isinstance(named, dict)
    return {"sweeps": ""} | {str(key): str(value) for key, value in named.items()}
