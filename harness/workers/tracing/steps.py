"""The steps of a run on a model without weights: LLaMA-Factory's and transformers' own code, with every byte booked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_template_and_fix_tokenizer
from llamafactory.data.mm_plugin import BasePlugin, get_mm_plugin
from llamafactory.extras.constants import IGNORE_INDEX
from llamafactory.model import load_config, load_model, load_tokenizer
from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer
from torch import nn
from transformers import DynamicCache

from harness.devices.allocator import Event
from harness.runs.forecasted import ForecastPhase, MemoryPart
from harness.workers.batching import rows_at_once, tokens_held
from harness.workers.evidence import is_quantized, logical_count
from harness.workers.tracing import kernels
from harness.workers.tracing.ledger import Booked, Ledger
from harness.workers.tracing.model import constants_of, without_weights
from harness.workers.tracing.rows import parsed


@dataclass(frozen=True)
class Batch:
    """What a device takes at once."""

    rows: int
    tokens: int
    """Of the longest row, before it is filled up."""
    padded: bool
    """Whether the others are shorter."""


@dataclass(frozen=True)
class Questions:
    """What is asked at once when a model is scored."""

    rows: int
    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True)
class Step:
    """What one phase of a process took."""

    phase: ForecastPhase
    booked: Booked
    until: int
    """How many of the process's events were over when it ended."""


@dataclass
class Process:
    """What a process of a run does, one phase after another."""

    events: list[Event] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


class Tracer:
    """Follows one arm's steps as a device of a kind would take them.

    `device`: meta; or cpu, for a model that is small enough to be there with all its numbers."""

    def __init__(self, arguments: dict[str, Any], kind: str, device: str = "meta") -> None:
        self._kind = kind
        self._device = torch.device(device)
        self._arguments = arguments
        self.base_bytes = 0
        """Of the base's weights in 16 bits, packed or not, once it was loaded."""
        self.untraced: list[str] = []
        """What is left out of the figures, and why."""
        if arguments.get("pissa_init"):
            self.leave_out("pissa_init: what it takes to decompose the weights before the training")

    @property
    def max_tokens(self) -> int:
        """How many tokens a row may have."""
        model_arguments, _, _, _, _ = parsed(self._arguments)
        config = load_config(model_arguments).get_text_config()
        return int(getattr(config, "max_position_embeddings", 0) or 2**62)

    def train(self, batch: Batch, validation: Batch | None, several: bool = False) -> Process:
        """Load, take two steps, validate. `several`: with other processes, which it shares its gradients with."""
        model_arguments, data_arguments, arguments, finetuning, _ = parsed(self._arguments)
        module = load_tokenizer(model_arguments)
        template = get_template_and_fix_tokenizer(module["tokenizer"], data_arguments)
        if type(template.mm_plugin) is not BasePlugin:
            # LLaMA-Factory gives a row without an image a small one.
            template.mm_plugin = get_mm_plugin("base")
            self.leave_out("images, videos and sounds, and what the part of the model that takes them computes")
        with self._on_device(batch.padded or bool(batch.tokens % 8)):
            model = load_model(module["tokenizer"], model_arguments, finetuning, True)
            collator = SFTDataCollatorWith4DAttentionMask(
                template=template,
                model=model,
                pad_to_multiple_of=8,
                label_pad_token_id=IGNORE_INDEX,
                block_diag_attn=model_arguments.block_diag_attn,
                neat_packing=data_arguments.neat_packing,
                attn_implementation=getattr(model.config, "_attn_implementation", None),
                compute_dtype=model_arguments.compute_dtype,
                **module,
            )
            trainer = CustomSeq2SeqTrainer(
                model=model,
                args=arguments,
                finetuning_args=finetuning,
                data_collator=collator,
                gen_kwargs={},
                train_dataset=[{"input_ids": [0]}],
                eval_dataset=[{"input_ids": [0]}],
                **module,
            )
            # It moves a batch to where the training was told to be.
            trainer._prepare_inputs = lambda inputs: inputs
            trainer.current_gradient_accumulation_steps = arguments.gradient_accumulation_steps
            wrapped = trainer.accelerator.prepare_model(trainer.model, device_placement=False)
            trainer.create_optimizer()
            ledger = self._ledger(model)
            process = Process(ledger.events)
            with ledger, self._told(ForecastPhase.TRAIN):
                is_packed = _book_loaded(ledger, model)
                frozen = (parameter for parameter in model.parameters() if not parameter.requires_grad)
                self.base_bytes = 2 * sum(map(logical_count, frozen))
                process.steps.append(_ended(ForecastPhase.QUANTIZE if is_packed else ForecastPhase.LOAD, ledger))
                count = self._take_steps(ledger, trainer, wrapped, self._inputs(collator, batch), several)
                process.steps.append(_ended(ForecastPhase.TRAIN, ledger))
                if validation is not None:
                    trainer._get_num_items_in_batch = lambda *_: count
                    wrapped.eval()
                    with self._told(ForecastPhase.VALIDATE):
                        trainer.prediction_step(wrapped, self._inputs(collator, validation), prediction_loss_only=True)
                    process.steps.append(_ended(ForecastPhase.VALIDATE, ledger))
                process.steps.append(_ended(ForecastPhase.SAVE, ledger))
        return process

    def rows_at_once(self, questions: Questions, memory_bytes: int) -> int:
        """Return how many of the questions are answered together on a device with so much memory."""
        held = tokens_held(self._trained, memory_bytes)
        return rows_at_once(questions.rows, questions.prompt_tokens + questions.new_tokens, held)

    def answer(self, questions: Questions) -> Process:
        """Load what was trained, read the questions, and give the last of the new tokens."""
        model = self._trained
        with self._on_device(padded=questions.rows > 1):
            ledger = self._ledger(model)
            process = Process(ledger.events)
            with ledger, self._told(ForecastPhase.EVALUATE), torch.no_grad():
                _book_loaded(ledger, model)
                self._answer(ledger, model, questions)
                process.steps.append(_ended(ForecastPhase.EVALUATE, ledger))
        return process

    @cached_property
    def _trained(self) -> Any:
        """What is scored."""
        model_arguments, _, _, finetuning, _ = parsed(self._arguments)
        tokenizer = load_tokenizer(model_arguments)["tokenizer"]
        with self._on_device(padded=False):
            # An adapter has to be made, as for a training; a model is scored in another precision than trained in.
            model = load_model(tokenizer, model_arguments, finetuning, finetuning.finetuning_type == "lora")
            if not any(map(is_quantized, model.modules())) and hasattr(model, "get_base_model"):
                # LLaMA-Factory merges the adapter into a base that is not quantized.
                model = model.unload()
            model.requires_grad_(False)
            model.eval()
        return model

    @contextmanager
    def _told(self, phase: ForecastPhase) -> Iterator[None]:
        """Where a model looks at numbers, which are not there: what came before stands."""
        try:
            yield
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            if self._device.type != "meta":
                raise
            said = " ".join(str(error).split())[:200]
            self.leave_out(
                f"{phase}: its own code cannot be followed without numbers ({said}); measure it: training.max_steps=4"
            )

    def leave_out(self, what: str) -> None:
        """Say of something that it is not in the figures."""
        if what not in self.untraced:
            self.untraced.append(what)

    @contextmanager
    def _on_device(self, padded: bool) -> Iterator[None]:
        is_meta = self._device.type == "meta"
        with without_weights(self._device, padded), kernels.of_device(self._kind) if is_meta else nullcontext():
            yield

    def _ledger(self, model: Any) -> Ledger:
        vocabulary = model.config.get_text_config().vocab_size
        return Ledger(vocabulary, kernels.workspaces(self._kind) if self._device.type == "meta" else {})

    def _inputs(self, collator: Any, batch: Batch) -> dict[str, Any]:
        lengths = [batch.tokens, *[batch.tokens - batch.padded] * (batch.rows - 1)]
        rows = [{"input_ids": [0] * n, "attention_mask": [1] * n, "labels": [0] * n} for n in lengths]
        collated = collator(rows)
        seen = {"input_ids", "attention_mask", "labels", "position_ids", "token_type_ids", "cross_attention_mask"}
        return {
            name: value.to(self._device)
            for name, value in collated.items()
            if name in seen and isinstance(value, torch.Tensor)
        }

    def _take_steps(
        self, ledger: Ledger, trainer: Any, model: nn.Module, inputs: dict[str, torch.Tensor], several: bool
    ) -> torch.Tensor:
        """Take two optimizer steps, since the states are there from the second on, which has the gradients of one batch
        while it takes the next; return what counts the tokens of a batch."""
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for parameter in trained:
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                lambda each: ledger.book([each.grad] if each.grad is not None else [], MemoryPart.GRADIENTS)
            )
        buckets = []
        if several:
            # DistributedDataParallel copies the gradients into buckets of its own.
            with ledger.making(MemoryPart.GRADIENTS):
                buckets = [torch.empty_like(parameter) for parameter in trained]
        batch = {name: torch.empty_like(value).copy_(value) for name, value in inputs.items()}
        count = torch.full((), inputs["labels"].numel(), device=self._device)
        for batches in (1, min(2, trainer.args.gradient_accumulation_steps)):
            for _ in range(batches):
                trainer.training_step(model, dict(batch), num_items_in_batch=count)
            with ledger.making(MemoryPart.OPTIMIZER):
                if trainer.args.max_grad_norm:
                    nn.utils.clip_grad_norm_(trained, trainer.args.max_grad_norm)
                self._step(trainer.optimizer, trained)
            model.zero_grad()
        del buckets
        return count

    def _step(self, optimizer: torch.optim.Optimizer, trained: Sequence[nn.Parameter]) -> None:
        if self._device.type != "meta" or not optimizer.defaults.get("fused"):
            optimizer.step()
            return
        # The fused kernel has none for the meta device; it works in place.
        for parameter in trained:
            state = optimizer.state[parameter]
            for name in ("exp_avg", "exp_avg_sq"):
                state.setdefault(name, None)
                if state[name] is None:
                    state[name] = torch.zeros_like(parameter)
            state.setdefault("step", torch.zeros((), device=parameter.device))

    def _answer(self, ledger: Ledger, model: Any, questions: Questions) -> None:
        rows, last = questions.rows, questions.prompt_tokens + questions.new_tokens
        cache = DynamicCache(config=model.config)
        first = self._forward(model, rows, questions.prompt_tokens, questions.prompt_tokens, cache)
        shapes = [(layer.keys.shape, layer.values.shape, layer.keys.dtype) for layer in cache.layers]
        del first, cache
        cache = DynamicCache(config=model.config)
        for number, (keys, values, dtype) in enumerate(shapes):
            cache.update(
                *(self._empty(*shape[:2], last - 1, shape[3], dtype=dtype) for shape in (keys, values)), number
            )
        self._forward(model, rows, 1, last, cache)

    def _empty(self, *sizes: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(*sizes, dtype=dtype, device=self._device)

    def _forward(self, model: Any, rows: int, tokens: int, seen: int, cache: DynamicCache) -> Any:
        ids = torch.zeros(rows, tokens, dtype=torch.long, device=self._device)
        mask = torch.ones(rows, seen, dtype=torch.long, device=self._device)
        if rows > 1 and self._device.type != "meta":
            mask[1:, 0] = 0
        return model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1)


def _book_loaded(ledger: Ledger, model: nn.Module) -> bool:
    """Book a model as it is loaded: weight by weight; one that is quantized is there unpacked for a moment. Return
    whether any is."""
    quantized: dict[int, Any] = {id(layer.weight): layer for layer in model.modules() if is_quantized(layer)}
    parameters = list(model.parameters())
    for parameter in parameters:
        if layer := quantized.get(id(parameter)):
            ledger.borrow(layer.in_features * layer.out_features * 2, MemoryPart.WORKSPACE)
        ledger.book([parameter], MemoryPart.ADAPTER if parameter.requires_grad else MemoryPart.WEIGHTS)
    ledger.book(model.buffers(), MemoryPart.WEIGHTS)
    ledger.book(constants_of(model), MemoryPart.WEIGHTS)
    return bool(quantized)


def _ended(phase: ForecastPhase, ledger: Ledger) -> Step:
    step = Step(phase, ledger.read(), len(ledger.events))
    ledger.restart()
    return step
