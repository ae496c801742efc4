from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora.layer import LoraLayer
from torch.profiler import profile
from transformers.integrations import sdpa_attention

from harness.workers import decoding
from harness.workers.batching import shared_beginning
from harness.workers.decoding import GrowingLayer, patch_adapter, patch_grouped_heads
from harness.workers.language_model import (
    Generation,
    LanguageModel,
    Message,
    QuantizationError,
    check_quantized,
    load,
)

MAX_NEW_TOKENS = 24
QUESTIONS = [
    [Message("user", "1+1?")],
    [Message("user", "Tom has 3 apples and buys 4 more, then eats 2. How many are left in the end?")],
    [Message("system", "Count."), Message("user", "Two and two")],
    [Message("user", "a"), Message("assistant", "b"), Message("user", "c")],
]


def greedy(model: LanguageModel, conversation: list[Message]) -> list[int]:
    """The slow way: one question, no padding, no cache, the likeliest token each time."""
    tokens = model.encode(conversation)
    generated: list[int] = []
    while len(generated) < model.model.generation_config.max_new_tokens and not set(generated) & model.stop_tokens:
        with torch.inference_mode():
            logits = model.model(input_ids=torch.tensor([tokens + generated])).logits
        generated.append(int(logits[0, -1].argmax()))
    return generated


def test_a_batch_of_different_lengths_says_what_greedy_decoding_one_by_one_says(
    base: LanguageModel,
) -> None:
    answers = base.answer(QUESTIONS)
    expected = [greedy(base, question) for question in QUESTIONS]
    decoded = [base.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in expected]
    assert [answer.text for answer in answers] == decoded
    assert [answer.tokens for answer in answers] == [len(tokens) for tokens in expected]
    assert [answer.prompt_tokens for answer in answers] == [len(base.encode(question)) for question in QUESTIONS]


def test_an_answer_is_finished_where_it_ends_with_a_stop_token(base: LanguageModel) -> None:
    first, stop = base.tokenizer.convert_tokens_to_ids("a"), base.tokenizer.eos_token_id
    assert base.to_generation(5, [first, stop]) == Generation("a", 5, 2, finished=True)
    assert base.to_generation(5, [first] * 4) == Generation("aaaa", 5, 4, finished=False)


@pytest.fixture
def stopping(arguments: dict[str, Any]) -> LanguageModel:
    """A model of which half the tokens end an answer, so that those of a batch end at different times."""
    model = load(arguments, MAX_NEW_TOKENS)
    model.stop_tokens = frozenset(range(0, model.model.config.vocab_size, 12))
    model.model.generation_config.eos_token_id = sorted(model.stop_tokens)
    return model


def test_what_is_finished_leaves_the_batch_and_changes_no_other_answer(stopping: LanguageModel) -> None:
    rows: list[int] = []
    stopping.model.register_forward_pre_hook(
        lambda _, __, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
    )
    answers = stopping.answer(QUESTIONS)
    tokens = [answer.tokens for answer in answers]
    assert len(set(tokens)) > 2
    assert rows == [sum(count > step for count in tokens) for step in range(max(tokens))]
    assert tokens == [len(greedy(stopping, question)) for question in QUESTIONS]


def test_rows_that_may_not_leave_stay_and_answers_are_the_same(
    stopping: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a model that sees."""
    answers = stopping.answer(QUESTIONS)
    rows: list[int] = []
    stopping.model.register_forward_pre_hook(
        lambda _, __, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
    )
    monkeypatch.setattr(decoding, "_is_plain", lambda model: False)
    assert stopping.answer(QUESTIONS) == answers
    assert set(rows) == {len(QUESTIONS)}


def test_an_answer_longer_than_the_caches_room_is_that_of_greedy_decoding(arguments: dict[str, Any]) -> None:
    model = load(arguments, 2 * GrowingLayer.ROOM)
    model.stop_tokens = frozenset([model.tokenizer.pad_token_id])
    model.model.generation_config.eos_token_id = [model.tokenizer.pad_token_id]
    answers = model.answer(QUESTIONS[:2])
    assert [answer.tokens for answer in answers] == [len(greedy(model, question)) for question in QUESTIONS[:2]]
    assert [answer.text for answer in answers] == [
        model.tokenizer.decode(greedy(model, question), skip_special_tokens=True) for question in QUESTIONS[:2]
    ]


def test_grouped_heads_are_attended_on_a_cpu_to_the_bits_of_their_copies() -> None:
    mask = torch.ones(2, 1, 3, 8, dtype=torch.bool).tril(5)
    mask[0, :, :, 0] = False
    query, key, value = torch.randn(2, 6, 3, 16), torch.randn(2, 2, 8, 16), torch.randn(2, 2, 8, 16)
    layer = SimpleNamespace(num_key_value_groups=3)
    patch_grouped_heads()
    found, _ = sdpa_attention.sdpa_attention_forward(layer, query, key, value, mask)
    copied = (sdpa_attention.repeat_kv(held, 3) for held in (key, value))
    expected, _ = sdpa_attention.sdpa_attention_forward(SimpleNamespace(), query, *copied, mask)
    assert torch.equal(found, expected)


def test_answers_stand_in_the_order_of_the_questions_whatever_the_batches(base: LanguageModel) -> None:
    heard: list[int] = []
    assert base.answer(QUESTIONS, heard.append, at_once=3) == [base.answer([question])[0] for question in QUESTIONS]
    assert heard == [3, 1]


EXAMPLES = "".join(f"Question: {number} + 1? Answer: {number + 1}. " for number in range(4))
WITH_EXAMPLES = [[Message("user", f"{EXAMPLES}{asked}")] for asked in ("1+1?", "How many are 2 and 3?", "And " * 60)]


@pytest.mark.parametrize("sliding_window", [None, 16, 200], ids=["whole", "a short window", "a long one"])
def test_examples_are_read_once_and_answers_are_those_of_prompts_read_one_by_one(
    arguments: dict[str, Any], sliding_window: int | None
) -> None:
    """The last question has more padding beside it than there are examples."""
    model = load(arguments, MAX_NEW_TOKENS)
    whole = greedy(model, WITH_EXAMPLES[1])
    config = model.model.config
    if sliding_window:
        config.sliding_window = sliding_window
        config.layer_types = ["sliding_attention", "full_attention"]
        model.model.model.has_sliding_layers = True
        assert (greedy(model, WITH_EXAMPLES[1]) == whole) == (sliding_window > len(model.encode(WITH_EXAMPLES[1])))
    read: list[torch.Size] = []
    model.model.register_forward_pre_hook(
        lambda _, __, inputs: read.append(inputs["input_ids"].shape), with_kwargs=True
    )
    answers = model.answer(WITH_EXAMPLES)
    prompts = [model.encode(question) for question in WITH_EXAMPLES]
    shared = shared_beginning(prompts)
    assert [*read[0]] == [1, shared]
    assert [*read[1]] == [3, max(map(len, prompts)) - shared]
    expected = [greedy(model, question) for question in WITH_EXAMPLES]
    assert [answer.tokens for answer in answers] == [len(tokens) for tokens in expected]
    assert [answer.text for answer in answers] == [
        model.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in expected
    ]


def test_the_head_multiplies_all_rows_of_a_batch_at_once(base: LanguageModel) -> None:
    """By mm: bmm would copy the whole vocabulary for each row."""
    with profile(record_shapes=True) as profiled:
        base.answer(QUESTIONS)
    config = base.model.config
    weight = [config.hidden_size, config.vocab_size]
    multiplied = [(event.name, event.input_shapes) for event in profiled.events() or [] if "mm" in event.name]
    assert ("aten::mm", [[len(QUESTIONS), config.hidden_size], weight]) in multiplied
    assert not [shapes for name, shapes in multiplied if name == "aten::bmm" and shapes[1][1:] == weight]


def test_the_prompt_is_that_of_the_training_template(base: LanguageModel) -> None:
    prompt = base.tokenizer.decode(base.encode([Message("user", "1+1?")]))
    assert prompt == "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("scaling", [2.0, 0.3])
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize("bits", [None, 4, 8])
def test_an_adapter_that_stays_apart_adds_its_part_to_the_bits_of_pefts_own(
    bits: int | None, compute: str, scaling: float, arguments: dict[str, Any], adapter: Path
) -> None:
    quantization = {} if bits is None else {"quantization_bit": bits, "quantization_type": "nf4"}
    model = load(arguments | quantization | {"infer_dtype": compute}, MAX_NEW_TOKENS).model
    adapted = PeftModel.from_pretrained(model, adapter).eval()
    for layer in adapted.modules():
        if isinstance(layer, LoraLayer):
            layer.scaling["default"] = scaling
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    with torch.inference_mode():
        by_peft = adapted(input_ids=ids).logits
        patch_adapter(adapted)
        patched = [layer for layer in adapted.modules() if "forward" in vars(layer)]
        assert len(patched) == sum(isinstance(layer, LoraLayer) for layer in adapted.modules()) > 0
        assert torch.equal(adapted(input_ids=ids).logits, by_peft)


@pytest.mark.parametrize("way", ["DoRA", "two adapters", "none active", "training"])
def test_an_adapter_of_which_not_all_is_settled_is_left_to_peft(way: str, arguments: dict[str, Any]) -> None:
    model = load(arguments, MAX_NEW_TOKENS).model
    config = LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.1, use_dora=way == "DoRA")
    adapted = get_peft_model(model, config).train(way == "training")
    if way == "two adapters":
        adapted.add_adapter("other", config)
        adapted.base_model.set_adapter(["default", "other"])
    if way == "none active":
        adapted.base_model.disable_adapter_layers()
    patch_adapter(adapted)
    assert not [layer for layer in adapted.modules() if isinstance(layer, LoraLayer) and "forward" in vars(layer)]


@pytest.mark.parametrize("quantization", [{}, {"quantization_bit": 4, "quantization_type": "nf4"}])
def test_an_adapter_changes_the_answers(
    base: LanguageModel, arguments: dict[str, Any], adapter: Path, quantization: dict[str, Any]
) -> None:
    without = load(arguments | quantization, MAX_NEW_TOKENS)
    adapted = load(arguments | quantization | {"adapter_name_or_path": str(adapter)}, MAX_NEW_TOKENS)
    answers = adapted.answer(QUESTIONS)
    assert answers != without.answer(QUESTIONS)
    # Again against the slow way: PEFT wraps a quantized model, and must not bring the checkpoint's penalty back.
    assert [answer.tokens for answer in answers] == [len(greedy(adapted, question)) for question in QUESTIONS]
    decoded = [adapted.tokenizer.decode(greedy(adapted, q), skip_special_tokens=True) for q in QUESTIONS]
    assert [answer.text for answer in answers] == decoded


def test_a_model_that_is_not_quantized_cannot_pass_for_one_that_is(base: LanguageModel) -> None:
    with pytest.raises(QuantizationError, match="4 bits"):
        check_quantized(base.model, 4)
