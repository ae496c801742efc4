"""The forecast of memory against what others measured on GPUs, and beside two other estimates.

    python -m benchmarks.forecast
    python -m benchmarks.forecast --host [SETTING ...]

Each row is a figure that somebody published, with its source. Where the stack of a row can be rebuilt of what is
installed, its own training step is followed on the meta device: LLaMA-Factory's, or the loop of PEFT's comparison of
methods, which is written out below. Signed: below 0 the forecast is too low, which is the direction that hurts.

--host takes the step of a Qwen2-0.5B on this machine's processor with all its numbers, each setting in its own process.
It prints how far that is from the step that is followed without numbers, and what the process had of its own while it
trained. glibc gives back at once there what is freed; MALLOC_MMAP_THRESHOLD_=33554432 lets it keep some.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness.base.paths import PACKAGE
from harness.devices.allocator import CachingAllocator
from harness.devices.cards import CONTEXTS
from harness.models import published
from harness.processes.jobs import ToTrace
from harness.runs.forecasted import ForecastPhase, MemoryPart
from harness.workers import compat

compat.prepare_imports()
compat.patch_bitsandbytes()
compat.patch_dora()

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from torch import nn  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

from harness.workers.tracing import kernels, model_files  # noqa: E402
from harness.workers.tracing.ledger import Ledger  # noqa: E402
from harness.workers.tracing.model import without_weights  # noqa: E402
from harness.workers.tracing.steps import Batch, Tracer  # noqa: E402

GB, MIB = 1e9, 2**20
_DENSE = {"max_position_embeddings": 131072, "dtype": "bfloat16"}
LLAMA_2_7B = _DENSE | {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
LLAMA_3_2_3B = _DENSE | {
    "model_type": "llama",
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
PEFT = "huggingface/peft, method_comparison/MetaMathQA/results, L40S, max. reserved"
WIKI = "LLaMA-Factory wiki, Performance comparison, 2024-04, A100 40 GB, driver's view in whole GB"
SWIFT = "ms-swift docs, NPU-support.md, 2026-08, 910B3"
LITGPT = "Lightning-AI/litgpt 26857050, config_hub/finetune, A10G, max. allocated"
TORCHTUNE = "pytorch/torchtune bd2a0fc7c"


@dataclass(frozen=True)
class Row:
    """A figure that was published."""

    name: str
    source: str
    measured_gb: float
    foresee: Callable[[], float] | str
    """The forecast of the same figure, in bytes; or why the stack cannot be rebuilt."""
    is_of_this_year: bool = True
    """Whether it was measured with libraries of the year of those that are installed."""
    table_gb: float | None = None
    """What LLaMA-Factory's README says for such a model and method."""
    described: dict[str, Any] = field(default_factory=dict)
    """The config.json of its model."""


def peft(described: dict[str, Any], rows: int, tokens: int, **lora: Any) -> Callable[[], float]:
    """Return the peak that torch reserves in the loop of PEFT's comparison: no mixed precision, no checkpointing, the
    gradients of a batch kept until the next. It empties the cache of the allocator every ten steps; so the peak is that
    of the longest batch behind such a step."""

    def foresee() -> float:
        device = torch.device("meta")
        with without_weights(device, padded=False), kernels.of_device("cuda"):
            with device:
                model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**described), dtype=torch.bfloat16)
            adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora))
            adapted.train()
            trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
            ledger = Ledger(int(described["vocab_size"]), kernels.workspaces("cuda"))
            optimizer = torch.optim.AdamW(trained, foreach=True)
            with ledger:
                ledger.book([*adapted.parameters(), *adapted.buffers()], MemoryPart.WEIGHTS)
                allocator = CachingAllocator()
                for length in (_MEAN_TOKENS, tokens):
                    begin = len(ledger.events)
                    ids = torch.zeros(rows, length, dtype=torch.long, device=device)
                    optimizer.zero_grad()
                    outputs = adapted(
                        input_ids=ids,
                        attention_mask=torch.ones_like(ids),
                        labels=ids.clone(),
                        num_items_in_batch=rows * length,
                    )
                    outputs.loss.backward()
                    nn.utils.clip_grad_norm_(trained, 1.0)
                    optimizer.step()
                    if length == tokens:
                        allocator.empty_cache()
                    allocator.replay(ledger.events[begin if length == tokens else 0 :])
        return float(allocator.peak_reserved_bytes)

    return foresee


_MEAN_TOKENS = 210
"""Of a row there: 4,198,051 tokens in 20,000 rows, as each result says."""


def llamafactory(described: dict[str, Any], rows: int, tokens: int, **arguments: Any) -> Callable[[], float]:
    """Return what the driver sees at the peak of LLaMA-Factory's own training."""

    def foresee() -> float:
        with tempfile.TemporaryDirectory() as folder:
            given = _training(folder, rows, tokens) | arguments
            arm = ToTrace(arguments=given, described=described, kind="cuda", tokens=tokens)
            given |= model_files.place(arm, PACKAGE / "models" / "tiny", Path(folder) / "model")
            process = Tracer(given, "cuda").train(Batch(rows, tokens, padded=False), None)
        allocator = CachingAllocator()
        allocator.replay(process.events)
        return allocator.peak_reserved_bytes + CONTEXTS["cuda"].usual_mib * MIB

    return foresee


def _training(folder: str, rows: int, tokens: int) -> dict[str, Any]:
    return {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_rank": 8,
        "template": "llama2",
        "dataset": "rows",
        "dataset_dir": folder,
        "cutoff_len": tokens,
        "per_device_train_batch_size": rows,
        "max_steps": 2,
        "bf16": True,
    }


_NF4 = {"quantization_bit": 4, "quantization_method": "bnb", "quantization_type": "nf4", "double_quantization": True}
_KEPT = {"disable_gradient_checkpointing": True}
_QV = {"target_modules": ["q_proj", "v_proj"]}
_MLP = {"target_modules": ["gate_proj", "up_proj", "down_proj"]}
_OWN_MODELS = "models, quantization and a loss in chunks of LitGPT's own"
ROWS = (
    Row(
        "Llama-3.2-3B LoRA r32 q,v, 4 x 768",
        PEFT,
        22.27,
        peft(LLAMA_3_2_3B, 4, 768, r=32, **_QV),
        described=LLAMA_3_2_3B,
    ),
    Row(
        "Llama-3.2-3B LoRA r64 q,v, 4 x 768",
        PEFT,
        22.55,
        peft(LLAMA_3_2_3B, 4, 768, r=64, **_QV),
        described=LLAMA_3_2_3B,
    ),
    Row(
        "Llama-3.2-3B LoRA r10 MLP, 4 x 768",
        PEFT,
        24.71,
        peft(LLAMA_3_2_3B, 4, 768, r=10, **_MLP),
        described=LLAMA_3_2_3B,
    ),
    Row(
        "Llama-3.2-3B DoRA r32 q,v, 4 x 768",
        PEFT,
        24.54,
        peft(LLAMA_3_2_3B, 4, 768, r=32, use_dora=True, **_QV),
        described=LLAMA_3_2_3B,
    ),
    Row("Llama-2-7B LoRA, 4 x 1024", WIKI, 18, llamafactory(LLAMA_2_7B, 4, 1024), False, 16, LLAMA_2_7B),
    Row("Llama-2-7B 4-bit, 4 x 1024", WIKI, 9, llamafactory(LLAMA_2_7B, 4, 1024, **_NF4), False, 6, LLAMA_2_7B),
    *(
        Row(
            f"Llama-2-7B 4-bit, 1 x {tokens}",
            WIKI,
            measured,
            llamafactory(LLAMA_2_7B, 1, tokens, gradient_accumulation_steps=4, **_NF4),
            False,
            6,
            LLAMA_2_7B,
        )
        for tokens, measured in ((1024, 6), (2048, 7), (4096, 9), (8192, 12), (16384, 19), (32768, 32))
    ),
    Row("Qwen2-7B LoRA, 1 x up to 2048", SWIFT, 28, "ms-swift's own trainer, and how long its rows are is not said"),
    Row("14 pairs of 2 B to 9 B", LITGPT, 0, _OWN_MODELS, False),
    Row(
        "Llama-3 and 3.1 8B, 3.2 3B, Llama-2-7B",
        TORCHTUNE,
        0,
        "compiled, with torchao's NF4 in place of bitsandbytes'",
        False,
    ),
)


def on_host(setting: str) -> str:
    """Take a step with numbers and without, and return the row of how far they are apart."""
    with tempfile.TemporaryDirectory() as folder:
        given = _training(folder, 1, 256) | {"template": "qwen"} | HOST_SETTINGS[setting]
        arm = ToTrace(arguments=given, described=published.config_of("Qwen/Qwen2-0.5B"), kind="cpu", tokens=256)
        given |= model_files.place(arm, PACKAGE / "models" / "tiny", Path(folder) / "model")
        batch = Batch(1, 256, padded=False)
        with _private_of_phases() as private:
            taken = Tracer(given, "cpu", "cpu").train(batch, batch).steps
        followed = Tracer(given, "cpu").train(batch, batch).steps
    apart = [
        (abs(without - held) / max(held, 1), without - held, f"{step.phase}: {part}")
        for step, same in zip(taken, followed, strict=True)
        for part in MemoryPart
        for held, without in [(step.booked.parts.get(part, 0), same.booked.parts.get(part, 0))]
    ]
    share, size, where = max(apart)
    (train,) = (number for number, step in enumerate(taken) if step.phase is ForecastPhase.TRAIN)
    booked, had = followed[train].booked.peak_bytes / MIB, private[train]
    told = f"{share:.3%} | {size:+,} B | {where if size else 'none'}"
    return f"| {setting} | {told} | {booked:,.0f} | {had:,.0f} | {had / booked - 1:+.1%} |"


_INT8 = {"quantization_bit": 8, "quantization_method": "bnb"}
_HOST_SCHEMES = {"none": {}, "nf4": _NF4 | {"double_quantization": False}, "nf4_double": _NF4, "int8": _INT8}
HOST_SETTINGS: dict[str, dict[str, Any]] = {
    **_HOST_SCHEMES,
    **{f"{name}_no_checkpointing": scheme | _KEPT for name, scheme in _HOST_SCHEMES.items()},
    "neat_packing": {"packing": True, "neat_packing": True},
    "dora": {"use_dora": True},
}
"""With gradient checkpointing, which is LLaMA-Factory's way, but where the name says otherwise."""
_GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
_LOOK_SECONDS = 0.003


@contextmanager
def _private_of_phases() -> Iterator[list[float]]:
    """Yield what the process comes to have of its own in each phase of the body, in MiB beyond what it begins with.

    The model that is built of random numbers is there in 16 bits before any layer is packed, which a run's is not: that
    is over when the first phase begins."""
    before, is_over, restart = _private_mib(), threading.Event(), Ledger.restart
    highest, peaks = [before], []

    def watch() -> None:
        while not is_over.wait(_LOOK_SECONDS):
            highest[0] = max(highest[0], _private_mib())

    def ended(ledger: Ledger) -> None:
        peaks.append(highest[0] - before)
        highest[0] = _private_mib()
        restart(ledger)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with patch.object(Ledger, "restart", ended):
            yield peaks
    finally:
        is_over.set()
        watcher.join()


def _private_mib() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def compare_on_host(settings: Sequence[str]) -> None:
    """Print a row for each of the settings; all, where none is named."""
    print("| setting | largest difference of a part | in bytes | of | booked, MiB | private, MiB | above booked |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |", flush=True)
    for setting in settings or HOST_SETTINGS:
        child = [sys.executable, "-c", f"from benchmarks import forecast; print(forecast.on_host({setting!r}))"]
        # LLaMA-Factory prints too.
        said = subprocess.run(child, env=_GIVEN_BACK | os.environ, stdout=subprocess.PIPE, text=True, check=True)
        print(next(line for line in said.stdout.splitlines() if line.startswith("| ")), flush=True)


def main() -> None:
    """Print the table and what it comes to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", nargs="*", choices=HOST_SETTINGS, metavar="SETTING")
    if (settings := parser.parse_args().host) is not None:
        compare_on_host(settings)
        return
    errors: list[float] = []
    print("| what | measured, GB | forecast, GB | error | accelerate's estimate | LLaMA-Factory's table | source |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for row in ROWS:
        measured = f"{row.measured_gb:g}" if row.measured_gb else ""
        if isinstance(row.foresee, str):
            print(f"| {row.name} | {measured} | not rebuilt: {row.foresee} | | | | {row.source} |")
            continue
        forecast = row.foresee() / GB
        gc.collect()
        error = forecast / row.measured_gb - 1
        if row.is_of_this_year:
            errors.append(error)
        others = [_error(_weights_gb(row.described), row.measured_gb), _error(row.table_gb, row.measured_gb)]
        print(
            f"| {row.name} | {measured} | {forecast:.2f} | {error:+.1%} | {' | '.join(others)} | {row.source} |",
            flush=True,
        )
    absolute = sorted(map(abs, errors))
    print(
        f"\nOf the rows whose stack is of the same year: median {statistics.median(absolute):.1%}, "
        f"worst {absolute[-1]:.1%}, lowest {min(errors):+.1%}."
    )


def _weights_gb(described: dict[str, Any]) -> float:
    """What accelerate estimates: the weights, in the dtype of the checkpoint."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**described), dtype=torch.bfloat16)
    return sum(parameter.nbytes for parameter in model.parameters()) / GB


def _error(estimate_gb: float | None, measured_gb: float) -> str:
    return "" if estimate_gb is None else f"{estimate_gb:.1f} ({estimate_gb / measured_gb - 1:+.0%})"


if __name__ == "__main__":
    main()
