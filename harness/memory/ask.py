"""From a command line to its forecast; every mistake is told before anything is traced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.base.errors import UserError, did_you_mean
from harness.compose import checks
from harness.compose.points import points
from harness.config.schema import Config
from harness.data.sources import SourceReader
from harness.devices.cards import Card, find
from harness.memory.asked import arms
from harness.memory.forecast import ArmForecast, Lengths, forecast
from harness.memory.places import of_card, of_configuration
from harness.plan.planner import Planner


def ask(
    asked: Config | Sequence[str],
    cards: Sequence[str] = (),
    lengths: str = Lengths.CUTOFF.value,
    *,
    largest: bool = False,
) -> list[ArmForecast]:
    """Return the forecast of each arm, on the cards that are named, else on the device that it is configured for.

    `asked`: a configuration, or the words of a command line, of which one without `=` is a file in sweeps/. `lengths`:
    cutoff or data. `largest`: with the largest batches that fit on the first card. Raises UserError with all mistakes,
    before anything is traced."""
    planner = Planner(Path.cwd())
    sources = planner.sources
    mistakes: list[str] = []
    found: list[Card] = []
    for number, name in enumerate(cards):
        try:
            found.append(find(name, "--fit" if largest and number == 0 else "--card"))
        except UserError as error:
            mistakes += error.mistakes
    if lengths not in list(Lengths):
        near = did_you_mean(lengths, Lengths)
        mistakes.append(f"--lengths {lengths}: {near}there is {', '.join(Lengths)}")
    configs: list[Config] = []
    try:
        configs = _configurations(asked, sources)
    except UserError as error:
        mistakes += error.mistakes
    if mistakes:
        raise UserError(mistakes)
    if lengths == Lengths.DATA:
        _fetch(configs, sources)
    places = [of_card(card, configs[0]) for card in found] or [of_configuration(configs[0])]
    return forecast(arms(configs), places, planner, Lengths(lengths), largest=largest)


def _configurations(asked: Config | Sequence[str], sources: SourceReader) -> list[Config]:
    def check(config: Config) -> list[str]:
        return checks.check_memory(config, sources)

    if isinstance(asked, Config):
        if mistakes := check(asked):
            raise UserError(mistakes)
        return [asked]
    words = [text if "=" in text else f"sweeps={text}" for text in asked]
    return [point.config for point in points(words, True, check)]


def _fetch(configs: Sequence[Config], sources: SourceReader) -> None:
    """Fetch the rows that a hub has. Raises UserError."""
    for config in configs:
        for source in (config.dataset, *config.dataset.also, *config.dataset.validation):
            sources.fetch(source, config.model.hub)
    if mistakes := [mistake for config in configs for mistake in checks.check_rows(config, sources)]:
        raise UserError(list(dict.fromkeys(mistakes)))
