from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.workers.language_model import LanguageModel, Message, QuantizationError, check_quantized, load

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
            logits = model.model(torch.tensor([tokens + generated])).logits
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


def test_an_answer_ends_at_its_stop_token_though_others_of_its_batch_go_on(base: LanguageModel) -> None:
    first = base.tokenizer.convert_tokens_to_ids("a")
    stop, padding = base.tokenizer.eos_token_id, base.tokenizer.pad_token_id
    ended = base.to_generation(5, [first, stop, padding, padding])
    assert (ended.text, ended.tokens, ended.finished) == ("a", 2, True)
    cut_off = base.to_generation(5, [first, first, first, first])
    assert (cut_off.text, cut_off.tokens, cut_off.finished) == ("aaaa", 4, False)


def test_the_prompt_is_that_of_the_training_template(base: LanguageModel) -> None:
    prompt = base.tokenizer.decode(base.encode([Message("user", "1+1?")]))
    assert prompt == "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"


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
