"""The table of what proves the quantization."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.comparison.arms import Arm
from harness.comparison.columns import MIB
from harness.report.markdown import Markdown, joined, text_table
from harness.report.numbers import number
from harness.report.text import Table, Text
from harness.runs.events import Evidence


def evidence_table(arms: Sequence[Arm], text: Text) -> Markdown | None:
    """Return one row for each arm in whose loaded model anything was counted; None: there is none."""
    share = text.report.share
    cells: list[Callable[[Evidence], str]] = [
        lambda evidence: share(evidence.quantized_modules, evidence.linear_modules),
        _weights,
        lambda evidence: text.titles.YES_NO[evidence.gradient_checkpointing],
        lambda evidence: share(evidence.trainable_parameters, evidence.total_parameters),
    ]
    rows = []
    for arm in arms:
        counted = [run.record.evidence for run in arm.runs if run.record.evidence is not None]
        if counted:
            quantized, weights, checkpointing, parameters = (joined(list(map(tell, counted))) for tell in cells)
            rows.append([arm.label, quantized, weights, _compute_dtype(arm, text), checkpointing, parameters])
    return text_table(text.titles.HEADERS[Table.EVIDENCE], rows) if rows else None


def _compute_dtype(arm: Arm, text: Text) -> str:
    return joined([run.record.compute_dtype for run in arm.runs]) or text.titles.NOT_RECORDED


def _weights(evidence: Evidence) -> str:
    dtypes = sorted(evidence.weight_bytes_by_dtype.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number(size / MIB)} MiB" for name, size in dtypes)
