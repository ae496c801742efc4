"""From a command line to its forecast; every mistake is told before anything is traced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.base.errors import UserError, did_you_mean
from harness.compose import checks
from harness.compose.points import points
from harness.config.schema import Config
from harness.data.sources import SourceReader
from harness.devices import cards
from harness.devices.cards import Card
from harness.memory.asked import Arm, arms
from harness.memory.forecast import ArmForecast, Lengths, forecast
from harness.memory.places import Place, of_card, of_configuration


def ask(overrides: Sequence[str], named: Sequence[str], lengths: str = Lengths.CUTOFF.value) -> list[ArmForecast]:
    """Return the forecast of each arm that a command line asks for, on the cards that are named, else on its device.

    A word without `=` is a file in sweeps/. Raises UserError with all mistakes."""
    sources = SourceReader(Path.cwd())
    mistakes: list[str] = []
    found: list[Card] = []
    for name in named:
        try:
            found.append(cards.find(name))
        except UserError as error:
            mistakes += error.mistakes
    if lengths not in list(Lengths):
        near = did_you_mean(lengths, Lengths)
        mistakes.append(f"--lengths {lengths}: {near}there is {', '.join(Lengths)}")
    words = [text if "=" in text else f"sweeps={text}" for text in overrides]
    try:
        asked = points(words, True, lambda config: checks.check_memory(config, sources))
    except UserError as error:
        raise UserError([*mistakes, *error.mistakes]) from None
    if mistakes:
        raise UserError(mistakes)
    configs = [point.config for point in asked]
    if lengths == Lengths.DATA:
        _fetch(configs, sources)
    return forecast(arms(configs), _places(configs[0], found), sources, Lengths(lengths))


def _places(config: Config, found: Sequence[Card]) -> list[Place]:
    return [of_card(card, config) for card in found] or [of_configuration(config)]


def _fetch(configs: Sequence[Config], sources: SourceReader) -> None:
    """Fetch the rows that a hub has. Raises UserError."""
    for config in configs:
        for source in (config.dataset, *config.dataset.also, *config.dataset.validation):
            sources.fetch(source, config.model.hub)
    if mistakes := [mistake for config in configs for mistake in checks.check_rows(config, sources)]:
        raise UserError(list(dict.fromkeys(mistakes)))


def of_config(config: Config) -> ArmForecast:
    """Return the forecast of one configuration on its own device. Raises UserError."""
    sources = SourceReader(Path.cwd())
    if mistakes := checks.check_memory(config, sources):
        raise UserError(mistakes)
    return forecast([Arm(config.arm or config.method.name, config)], [of_configuration(config)], sources)[0]
