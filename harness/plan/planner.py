"""Plans runs: what is decided of one before anything starts, each file read once for all of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.config.schema import Config, DatasetConfig
from harness.data import arithmetic, prepare, questions
from harness.data.sources import SourceReader
from harness.launch import torchrun
from harness.models import fingerprint, synthetic
from harness.plan import identity
from harness.plan.device import precision_of
from harness.plan.machine import versions
from harness.plan.spec import DeviceSpec, RunSpec
from harness.processes.jobs import ARITHMETIC
from harness.runs.record import RowsDrawn
from harness.trainer import named_files

MEDIA_DIR = "media_dir"
"""LLaMA-Factory's argument for where the images, videos and sounds of the rows are."""


class Planner:
    """Makes specs in one folder, and draws their rows. Reads data and hashes models; writes nothing."""

    def __init__(self, started_in: Path) -> None:
        self.started_in = started_in
        self.sources = SourceReader(started_in)
        self._rows: dict[str, tuple[prepare.Rows, str]] = {}
        self._questions: dict[tuple[int, int], str] = {}
        self._former: dict[str, str] = {}
        self._contents: dict[tuple[str, Path], str] = {}

    def rows(self, dataset: DatasetConfig) -> tuple[prepare.Rows, str]:
        """Return the rows of a dataset and their hash, drawn once. Raises SourceError."""
        key = repr(dataset)
        if key not in self._rows:
            rows = prepare.draw(dataset, self.sources)
            self._rows[key] = rows, rows.digest()
        return self._rows[key]

    def fetch(self, config: Config) -> bool:
        """Fetch what a hub has of a configuration's rows; whether there was something to fetch. Raises SourceError."""
        dataset = config.dataset
        sources = (dataset, *dataset.also, *dataset.validation)
        absent = [source for source in sources if source.repository is not None and not self.sources.is_here(source)]
        for source in absent:
            self.sources.fetch(source, config.model.hub)
        return bool(absent)

    def spec(
        self,
        config: Config,
        overrides: tuple[str, ...],
        device: DeviceSpec,
        number: int = 0,
        of_sweep: bool = False,
    ) -> RunSpec:
        """Decide on a run, the `number`th (from 0) of its command. Its dataset must be on this machine.

        Raises SourceError."""
        rows, digest = self.rows(config.dataset)
        model_path, weights = self.weights(config)
        precision = precision_of(config, device)
        stand_in = [device.stand_in] if device.stand_in else []
        parts = identity.parts_of(
            config,
            weights=weights,
            questions=self._questions_of(config),
            rows=self.content_of(config, rows, digest),
            precision=precision,
            device=[device.kind, device.product, device.chips, *stand_in],
            versions=self._versions,
            processes=torchrun.world_size(config.launch, device.chips),
            llamafactory=self._given(config),
        )
        return RunSpec.model_validate(
            {
                "config": config,
                "overrides": overrides,
                "number": number,
                "of_sweep": of_sweep,
                "started_in": self.started_in,
                "device": device,
                "precision": precision,
                "model_path": model_path,
                "train_names": rows.train_names,
                "validation_names": rows.validation_names,
                "drawn": RowsDrawn(
                    in_files=rows.in_files,
                    set_aside=rows.set_aside,
                    to_train=len(rows.train),
                    to_validate=len(rows.validation),
                ),
                "parts": parts,
                "former_weights": self._former_weights(model_path, weights),
            }
        )

    @cached_property
    def _versions(self) -> dict[str, str]:
        return versions()

    def weights(self, config: Config) -> tuple[str, str]:
        """Return where a model is, and what it is now: a hash of its files, or what stands for one."""
        model = config.model
        if model.path is None:
            assert model.shape is not None, "the checks ask for a path or a shape"
            shape = model.shapes[model.shape]
            return str(synthetic.path_of(model.shape, shape)), f"random {sorted(asdict(shape).items())}"
        local = self.started_in / Path(model.path).expanduser()
        return (str(local.resolve()), fingerprint.of_model(local)) if local.is_dir() else (model.path, model.path)

    def _given(self, config: Config) -> dict[str, Any]:
        """Return what a user gave under `llamafactory`; in place of files and folders, a hash of what they hold."""
        # Of the media those that the rows name count, with the rows.
        given = {name: value for name, value in config.llamafactory.items() if name != MEDIA_DIR}
        return given | {
            name: [fingerprint.fingerprint(place) if isinstance(place, Path) else place for place in places]
            for name, places in named_files.named(given, self.started_in).items()
        }

    def content_of(self, config: Config, rows: prepare.Rows, digest: str) -> str:
        """Return what tells the rows from others: their own `digest`, and that of the images, videos and sounds that
        they name and that are here."""
        # As LLaMA-Factory looks for them (data/converter.py).
        folder = self.started_in / str(config.llamafactory.get(MEDIA_DIR, ""))
        if (digest, folder) not in self._contents:
            files = [path for name in rows.media() if (path := folder / name).is_file()]
            hashes = [digest, *(fingerprint.fingerprint(path) for path in files)]
            together = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
            self._contents[digest, folder] = together if files else digest
        return self._contents[digest, folder]

    def _former_weights(self, model_path: str, weights: str) -> str | None:
        """What the version before would have said that a local model is, if that is something else.

        Looked at once: it read every file below the model's folder, whatever lies there."""
        if weights == model_path or weights.startswith("random "):
            return None
        if model_path not in self._former:
            self._former[model_path] = fingerprint.before(Path(model_path))
        return None if self._former[model_path] == weights else self._former[model_path]

    def _questions_of(self, config: Config) -> str | None:
        evaluation = config.evaluation
        if evaluation.benchmark == ARITHMETIC:
            key = evaluation.limit or arithmetic.DEFAULT_QUESTIONS, config.dataset.seed
            if key not in self._questions:
                self._questions[key] = identity.of_arithmetic_questions(*key)
            return self._questions[key]
        if evaluation.path is None:
            return None
        path = self.started_in / Path(evaluation.path).expanduser()
        # A folder's are among its files.
        examples = questions.examples(path, evaluation.benchmark) if evaluation.few_shot and path.is_file() else []
        return " ".join(fingerprint.fingerprint(file) for file in (path, *examples))
