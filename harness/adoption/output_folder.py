"""An output folder of LLaMA-Factory's: what was trained, as its files tell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.adoption import log, training_arguments
from harness.adoption.log import Log, Theirs
from harness.base.decoding import has_lone_surrogates
from harness.base.errors import UserError
from harness.base.paths import absolute
from harness.compose.llamafactory_file import Registered
from harness.runs.folder import RunFolder, SweepFolder
from harness.trainer.fields import FIELDS

ARGUMENTS, ADAPTER, CARD = "training_args.bin", "adapter_config.json", "README.md"
FOLDERS_OWN = (str(RunFolder.train), "training_args.yaml")
"""Training files that belong to the folder they lie in; the second is what LLaMA-Factory's web page writes."""
OPTIMIZER = {
    "optim": None,
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "label_smoothing_factor": 0.0,
}
"""Of transformers' own arguments those that change a result, with what it takes by itself; None: that has changed."""
_RECORDED = (
    *("seed", "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "lr_scheduler_type", "bf16", "fp16", "logging_steps"),
)
_WHOLE = ("seed", "quantization_bit")
"""What the harness itself takes for a number; all others are looked at by the command that trains again."""
_LARGEST = 2**63
_OF_THE_CARD = {"train_batch_size": "per_device_train_batch_size", "num_epochs": "num_train_epochs"}
_LIBRARIES = {"PEFT": "peft", "Transformers": "transformers", "Pytorch": "torch", "Datasets": "datasets"}
_WHERE = "give the output_dir of a training, with trainer_log.jsonl and all_results.json in it"


@dataclass(frozen=True)
class TrainingFile:
    """What `llamafactory-cli train FILE` was given."""

    path: Path
    arguments: Mapping[str, Any]
    datasets: Registered | None
    """Those that it can name, as far as they are here."""
    is_given: bool
    """Whether the user named it, and it was not only found."""

    @property
    def name(self) -> str:
        return self.path.name


class _Adapter(Theirs):
    """PEFT's adapter_config.json, as far as it is read."""

    peft_type: str = "lora"
    base_model_name_or_path: str | None = None
    r: int | None = None
    lora_alpha: int | float | None = None
    lora_dropout: float | None = None
    target_modules: list[str] | str | None = None
    use_rslora: bool | None = None
    use_dora: bool | None = None
    peft_version: str | None = None


@dataclass
class Found:
    """What is known of one training. Arguments have LLaMA-Factory's names."""

    folder: Path
    log: Log
    arguments: dict[str, Any] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    """By file, which arguments, or what else, it told."""
    training_file: TrainingFile | None = None
    disbelieved: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    device: str | None = None
    processes: int | None = None
    digest: str = ""
    """Of the content of every file that told something."""

    @property
    def seed(self) -> int:
        """Where nothing tells it, what LLaMA-Factory takes by itself."""
        seed: int = self.arguments.get("seed", FIELDS["seed"].default)
        return seed

    def take(self, path: Path, arguments: Mapping[str, Any]) -> None:
        """Keep what a file tells, and nobody told before it. Raises ValueError for what no training can have had."""
        if wrong := [f"{name} {why}" for name, value in arguments.items() if (why := _impossible(name, value))]:
            raise ValueError(f"{path}: {', '.join(wrong)}")
        new = {name: value for name, value in arguments.items() if value is not None and name not in self.arguments}
        self.arguments |= new
        file = str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else path.name
        if new:
            self.told[file] = [*self.told.get(file, []), *new]


def read(folder: Path, files: Sequence[TrainingFile]) -> Found:
    """Return what is known of the training that left `folder`; of `files` that one is taken which trained it.

    Raises UserError where the folder holds no training, or a file in it is damaged."""
    if mistake := _no_training(folder):
        raise UserError(mistake)
    try:
        logged = log.read(folder)
        assert logged is not None
        found = Found(folder, logged)
        for file in (log.STATE, log.LOG, *log.RESULTS):
            if (folder / file).is_file():
                found.told[file] = ["log"]
        if logged.outdated:
            older = [file for file in (log.STATE, *log.RESULTS, ARGUMENTS, ADAPTER, CARD) if (folder / file).is_file()]
            found.told = {log.LOG: ["log"]}
            found.disbelieved.append(f"{', '.join(older)}: of an earlier training, {log.LOG} has other losses")
        else:
            _take_adapter(found)
            _take_arguments(found)
            _take_card(found)
        _take_training_file(found, files)
    except ValueError as error:
        raise UserError(f"{error}; mend it, or move it out of the folder") from None
    if not logged.losses and logged.loop_seconds is None:
        raise UserError(f"{folder}: holds no training: no loss was logged, and no result; {_WHERE}")
    if (stage := found.arguments.get("stage", "sft")) != "sft":
        raise UserError(f"{folder}: stage={stage}: the harness compares supervised fine-tuning alone (stage=sft)")
    content = hashlib.sha256()
    for file in sorted(found.told):
        path = folder / file
        taken = found.training_file
        content.update(file.encode() + (taken.path if taken and taken.name == file else path).read_bytes())
    found.digest = content.hexdigest()
    return found


def _impossible(name: str, value: Any) -> str | None:
    """Why no training can have had that argument; None: it can."""
    if value is not None and name in _WHOLE and (isinstance(value, bool) or not isinstance(value, int)):
        return "is no whole number"
    if isinstance(value, int | float) and not -_LARGEST < value < _LARGEST:
        return "is a number beyond all that it can be"
    if has_lone_surrogates(value):
        return "holds half a character (a lone surrogate, as \\ud83d)"
    return None


def _no_training(folder: Path) -> str | None:
    """Why the folder holds no training that can be adopted; None: it does."""
    if not folder.is_dir():
        return f"{folder}: {'is a file' if folder.exists() else 'no such folder'}; {_WHERE}"
    for run in (RunFolder(folder), RunFolder(folder.parent)):
        if run.record.is_file():
            return f"{folder}: is of a run that the harness has a record of; `harness report {run.path.parent}`"
    if SweepFolder(folder).is_sweep():
        return f"{folder}: holds runs of the harness; `harness report {folder}`"
    if re.fullmatch(r"checkpoint-\d+", folder.name) and (folder.parent / log.LOG).is_file():
        return f"{folder}: is a checkpoint in the midst of a training; give {folder.parent}"
    if any((folder / name).is_file() for name in (log.STATE, log.LOG, *log.RESULTS)):
        return None
    within = sorted(path.parent for path in folder.glob(f"*/{log.LOG}"))
    if within:
        return f"{folder}: is no training, but holds some; give {' '.join(map(str, within))}"
    if (folder / ADAPTER).is_file():
        return f"{folder}: is an adapter, without the logs of its training; {_WHERE}"
    if (folder / "config.json").is_file():
        return f"{folder}: is a model, and not what a training left; {_WHERE}"
    return f"{folder}: holds none of {', '.join((log.LOG, log.STATE, *log.RESULTS))}; {_WHERE}"


def _in_folder_or_checkpoint(folder: Path, name: str) -> Path:
    """A training that was stopped has some files in its checkpoints alone."""
    checkpoints = (path for path in folder.glob(f"checkpoint-*/{name}") if path.is_file())
    newest = max(checkpoints, key=lambda path: path.stat().st_mtime, default=folder / name)
    return folder / name if (folder / name).is_file() else newest


def _take_adapter(found: Found) -> None:
    path = _in_folder_or_checkpoint(found.folder, ADAPTER)
    adapter = log.of_file(path, _Adapter)
    if adapter is None:
        return
    modules = adapter.target_modules
    found.take(
        path,
        {
            "finetuning_type": adapter.peft_type.lower(),
            "model_name_or_path": adapter.base_model_name_or_path,
            "lora_rank": adapter.r,
            "lora_alpha": adapter.lora_alpha,
            "lora_dropout": adapter.lora_dropout,
            "lora_target": ",".join(sorted(modules)) if isinstance(modules, list) else modules,
            "use_rslora": adapter.use_rslora or None,
            "use_dora": adapter.use_dora or None,
        },
    )
    if adapter.peft_version:
        found.versions["peft"] = adapter.peft_version


def _take_arguments(found: Found) -> None:
    path = _in_folder_or_checkpoint(found.folder, ARGUMENTS)
    if not path.is_file():
        return
    try:
        held = training_arguments.read(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    values = held.values
    # transformers 5 keeps a share of the steps in warmup_steps.
    warmup = values.get("warmup_ratio") or values.get("warmup_steps") or 0
    kind = "warmup_ratio" if isinstance(warmup, float) and warmup < 1 else "warmup_steps"
    found.take(
        path,
        {name: values.get(name) for name in (*_RECORDED, *OPTIMIZER, "include_num_input_tokens_seen")}
        | {kind: warmup, "output_dir": values.get("output_dir"), "use_cpu": values.get("use_cpu") or None},
    )
    found.device, found.processes = held.device, held.processes


def _take_card(found: Found) -> None:
    path = found.folder / CARD
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    lines = dict(re.findall(r"^- (\w+):? (\S+)$", text, re.MULTILINE))
    told = {_OF_THE_CARD.get(name, name): value for name, value in lines.items()}
    numbers = {name: _number(told[name]) for name in _RECORDED if name in told}
    datasets = re.search(r"^This model is a fine-tuned version of .* on the (.+) datasets?\.$", text, re.MULTILINE)
    found.take(path, {**numbers, "dataset": datasets and ",".join(re.split(r",? and the |, the ", datasets[1]))})
    versions = {library: lines[title] for title, library in _LIBRARIES.items() if title in lines}
    if versions:
        found.versions |= versions
        found.told.setdefault(CARD, []).append("versions")


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _take_training_file(found: Found, files: Sequence[TrainingFile]) -> None:
    """Of the files that name this folder take the one that nothing contradicts; of several that differ, none."""
    named = [file for file in files if _names(file, found)]
    named = [file for file in named if file.is_given] or named
    fitting = []
    for file in named:
        if differing := _contradicted(file, found):
            found.disbelieved.append(f"{file.path}: was changed since, or is of another training: {differing}")
        else:
            fitting.append(file)
    if not fitting:
        return
    if any(file.arguments != fitting[0].arguments for file in fitting):
        paths = " and ".join(str(file.path) for file in fitting)
        found.disbelieved.append(f"{paths}: each may have trained it; say which by --train FILE")
        return
    found.training_file = fitting[0]
    # What a file does not say, LLaMA-Factory takes by itself; no bits are none, which is known then.
    defaults = {name: known.default for name, known in FIELDS.items() if known.kind in ("same", "derived")}
    silent = {name: value for name, value in defaults.items() if value is not None and name not in fitting[0].arguments}
    bits = fitting[0].arguments.get("quantization_bit")
    found.take(fitting[0].path, {**fitting[0].arguments, "quantization_bit": 0 if bits is None else bits})
    found.arguments = silent | found.arguments


def _names(file: TrainingFile, found: Found) -> bool:
    """Whether the file is the folder's own, or names it as its output_dir, wherever that was meant from."""
    output = file.arguments.get("output_dir")
    if file.path.parent == found.folder and file.name in FOLDERS_OWN:
        return True
    if output is None:
        return False
    places = (Path.cwd(), *file.path.parents)
    return output == found.arguments.get("output_dir") or any(
        absolute(place / str(output)) == found.folder for place in places
    )


def _contradicted(file: TrainingFile, found: Found) -> str | None:
    """What the file says and the training recorded otherwise; None: nothing."""
    for name in (*_RECORDED, "lora_rank", "lora_alpha", "lora_dropout"):
        said, was = file.arguments.get(name), found.arguments.get(name)
        if said is not None and was is not None and _comparable(said) != _comparable(was):
            return f"it says {name}={said}, the training had {was}"
    return None


def _comparable(value: Any) -> Any:
    return _number(str(value).lower()) if not isinstance(value, bool) else str(value).lower()
