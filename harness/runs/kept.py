"""What a run leaves beside its record: on the disk for good before the record tells of it, and known by its hashes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.base.files import sync_folder, synced_sha256
from harness.runs.folder import RunFolder, TargetFolder
from harness.runs.record import KeptFile, Record


def training(folder: RunFolder) -> dict[str, KeptFile]:
    """Return the files that a run's training left, by their path below `folder`, put on the disk for good: what holds
    its weights, the events and the readings. Raises OSError."""
    return _kept(folder, [folder.events, folder.readings, *_files_in(folder.adapter)])


def answers(folder: RunFolder, target: TargetFolder) -> dict[str, KeptFile]:
    """Return likewise what a target left that lies in the run's folder; nothing for any other. Raises OSError."""
    if not target.path.is_relative_to(folder.path):
        return {}
    return _kept(folder, [target.score, target.answers, target.replies, target.events, target.readings])


def with_answers(record: Record, folder: RunFolder, target: TargetFolder) -> dict[str, KeptFile] | None:
    """Return the files of `record` with those that a target has left now in place of those before. Raises OSError."""
    others = _without(record, target)
    return None if others is None else others | answers(folder, target)


def of_training(record: Record) -> dict[str, KeptFile] | None:
    """Return the files of `record` without those that any target left."""
    run = RunFolder(Path())
    return _without(record, run.evaluation, run.evaluation_merged)


def _without(record: Record, *targets: TargetFolder) -> dict[str, KeptFile] | None:
    if record.files is None:
        return None
    left_out = {target.path.name for target in targets}
    return {name: kept for name, kept in record.files.items() if Path(name).parent.name not in left_out}


def lost_weights(folder: RunFolder, record: Record) -> str | None:
    """Return which file of what was trained is gone or of another size than it was, so that the run is not what its
    record says; None: none is, or the record does not tell.

    Where the whole folder is gone, it was taken away by somebody who has no more use for it."""
    if not folder.adapter.is_dir():
        return None
    weights = {name: kept for name, kept in (record.files or {}).items() if Path(name).parent == RunFolder.adapter}
    for name, kept in weights.items():
        try:
            size = (folder.path / name).stat().st_size
        except OSError as error:
            return f"{folder.path / name}: {error.strerror}"
        if size != kept.size_bytes:
            return f"{folder.path / name}: has {size:,} bytes, and the run left {kept.size_bytes:,}"
    return None


def _files_in(adapter: Path) -> Iterator[Path]:
    """What the training saved last; checkpoints lie deeper, and a model card is for its reader to change."""
    if adapter.is_dir():
        yield from (file for file in sorted(adapter.iterdir()) if file.suffix != ".md")


def _kept(folder: RunFolder, files: list[Path]) -> dict[str, KeptFile]:
    there = [file for file in files if file.is_file()]
    kept = {
        str(file.relative_to(folder.path)): KeptFile(size_bytes=file.stat().st_size, sha256=synced_sha256(file))
        for file in there
    }
    # The names too, up to that of the run's own folder.
    for parent in sorted({file.parent for file in there} | {folder.path, folder.path.parent}):
        if parent.is_dir():
            sync_folder(parent)
    return kept
