"""The sweeper of harness: every point of a sweep once, the arms of each seed in turn.

Hydra takes sweepers from this namespace alone, and runs every module of it in each application of the environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from harness.compose import order


class AlternatingSweeper(BasicSweeper):
    """Hydra's own sweeper, with the points in the order of `harness.compose.order`, and a word on what its launcher
    lacks or loses."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Raises UserError where the launcher's scheduler is not here."""
        from harness.execution import launchers

        launchers.refuse_absent(config.hydra.launcher)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run all points. Raises UserError, and LostRunsError where the launcher has lost some."""
        from harness.execution import launchers

        assert self.config is not None, "Hydra sets a sweeper up before it sweeps"
        with launchers.losses_told(self.config.hydra.launcher):
            return super().sweep(arguments)

    def split_arguments(self, overrides: Sequence[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """Return the points of each batch, in their order."""
        assert self.config is not None, "Hydra sets a sweeper up before it sweeps"
        return list(self.split_overrides_to_chunks(order.split(overrides, self.config), max_batch_size))


ConfigStore.instance().store(
    group="hydra/sweeper", name="alternating", node=BasicSweeperConf(_target_=order.SWEEPER), provider="harness"
)
