"""The sweeper of harness: every point of a sweep once, the arms of each seed in turn.

Hydra takes sweepers from this namespace alone, and runs every module of it in each application of the environment."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override

from harness.compose import order


class AlternatingSweeper(BasicSweeper):
    """Hydra's own sweeper, with the points in the order of `harness.compose.order`."""

    def split_arguments(self, overrides: Sequence[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """Return the points of each batch, in their order."""
        assert self.config is not None, "Hydra sets a sweeper up before it sweeps"
        return list(self.split_overrides_to_chunks(order.split(overrides, self.config), max_batch_size))


ConfigStore.instance().store(
    group="hydra/sweeper", name="alternating", node=BasicSweeperConf(_target_=order.SWEEPER), provider="harness"
)
