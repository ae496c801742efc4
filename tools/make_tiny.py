"""Make the tiny base model that the built-in demonstration fine-tunes.

    python tools/make_tiny.py [--output DIR]

The base learns from generated text to read small stories and to compute. It reads only stories whose numbers
belong to the training split, so it meets no held-out story, and no question with its answer. What the fine-tuning
adds is the wanted form: asked 200 test questions in a chat the base computes 196 of the answers, but it never writes
`#### answer`, which is what is scored, so it gets 0 right.

Measured on two cores of an AMD EPYC: made in 512 s; 870k parameters, 3.5 MB in float32 (a CPU without bf16 then
computes what one with it does). It solves 500 of 500 sums and works out 500 of 500 stories with numbers that it never
met in them. It copies numbers but not words: only 6% of its stories end word for word, for it mostly names a wrong
thing ("Ben has 8 apples left", of beads), and so does what is fine-tuned from it.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.base.paths import PACKAGE
from harness.data import arithmetic
from harness.workers import compat

compat.prepare_imports()
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM  # noqa: E402

SEED = 0
STEPS = 2000
BATCH_SIZE = 32
SEQUENCE_LENGTH = 128
PEAK_LEARNING_RATE = 4e-3
WARMUP_STEPS = 100

END_OF_TURN = "<|im_end|>"
PADDING = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"
SPECIAL_TOKENS = [PADDING, START_OF_TURN, END_OF_TURN]
USER = f"{START_OF_TURN}user\n"
ASIDES = (
    "It is a fine day.",
    "The teacher reads this to the class.",
    "Let us see.",
    "Nobody knows this yet, so let us think about it for a moment.",
    "Read it again.",
    "Then the bell rings and all of them go home.",
    "Think well before you write.",
    "What comes next is not hard at all.",
    "We want to know it now.",
    "This story is true.",
)
TURN = f"{END_OF_TURN}\n{START_OF_TURN}assistant\n"
# A number below 100 is one token with its leading space: sums become facts that a small model can learn.
WORDS = Regex(r"\n| ?\d{1,2}| ?[A-Za-z]+| ?#+| ?[^\sA-Za-z\d#]|\s")
# The same text as LLaMA-Factory's template qwen3_nothink.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

STORIES_AN_EPOCH = 60_000
SUMS_AN_EPOCH = 12_000
WORKSHEETS_AN_EPOCH = 3_000


def documents(seed: int) -> list[str]:
    """Return one epoch of shuffled text: stories with working, in prose and in turns of a chat, lists of sums, and
    worksheets without answers. The chat asks no question."""
    rng = random.Random(seed)
    problems = arithmetic.draw("train", STORIES_AN_EPOCH, seed)
    texts = [with_working(problem, rng) for problem in problems]
    texts += ["#### Sums: " + " ".join(f"{sum_of(rng)}." for _ in range(8)) for _ in range(SUMS_AN_EPOCH)]
    worksheets = (rng.sample(problems, 4) for _ in range(WORKSHEETS_AN_EPOCH))
    texts += ["#### Questions\n" + "\n".join(p.question for p in worksheet) for worksheet in worksheets]
    rng.shuffle(texts)
    return texts


def with_working(problem: arithmetic.Problem, rng: random.Random) -> str:
    """A story and its working, with something between them: without it the numbers would always stand equally far
    back, and the model would learn the distance and not to look for them."""
    story = " ".join([problem.story, *rng.sample(ASIDES, rng.choice((0, 0, 1, 1, 2)))])
    start, turn = rng.choice((("", " "), ("", "\n"), (USER, TURN)))
    return f"{start}{story}{turn}{problem.working} {problem.conclusion}"


def sum_of(rng: random.Random) -> str:
    """Return one equation as any step of a story can ask for it, such as "12 + 7 = 19"."""
    sign = rng.choices("+-*", weights=(4, 4, 1))[0]
    if sign == "*":
        left, right = rng.randint(2, arithmetic.MAX_FACTOR), rng.randint(2, arithmetic.MAX_FACTOR)
    else:
        right = rng.randint(2, arithmetic.MAX_TERM)
        # Most stories compute with small numbers; only those with a product before go beyond two terms.
        limit = rng.choice((2 * arithmetic.MAX_TERM, arithmetic.MAX_FACTOR**2))
        left = rng.randint(2 if sign == "+" else right + 2, limit)
    *_, (*_, result) = arithmetic.steps(sign, (left, right))
    return f"{left} {sign} {right} = {result}"


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level tokenizer that knows the project's words whole and survives any other text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(WORDS, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        min_frequency=2,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    roles = ["system", "user", "assistant"]
    tokenizer.train_from_iterator(texts + roles * 100, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Return an untrained Qwen3; every linear layer is a multiple of 64 wide, NF4's block size."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=math.ceil(len(tokenizer) / 64) * 64,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=2048,
            rope_theta=10_000.0,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def batches(tokenizer: PreTrainedTokenizerFast) -> Iterator[torch.Tensor]:
    """Yield packed token ids, shape (BATCH_SIZE, SEQUENCE_LENGTH), epoch after epoch without end."""
    size = BATCH_SIZE * SEQUENCE_LENGTH
    seed = SEED
    while True:
        encoded = tokenizer([text + END_OF_TURN for text in documents(seed)])["input_ids"]
        ids = torch.tensor([token for document in encoded for token in document])
        for start in range(0, len(ids) - size + 1, size):
            yield ids[start : start + size].view(BATCH_SIZE, SEQUENCE_LENGTH)
        seed += 1


def learning_rate(step: int) -> float:
    """Warm up linearly, then decay to zero along a cosine."""
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return PEAK_LEARNING_RATE * warmup * 0.5 * (1 + math.cos(math.pi * step / STEPS))


def pretrain(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Train in place, printing the loss as it goes."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    model.train()
    started = time.monotonic()
    for step, ids in zip(range(STEPS), batches(tokenizer), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == STEPS - 1:
            seconds = time.monotonic() - started
            print(f"step {step:5d}/{STEPS}  loss {loss.item():.3f}  {seconds:.0f} s", flush=True)


@torch.inference_mode()
def accuracy(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[tuple[str, str]],
) -> float:
    """Return the share of (beginning, continuation) pairs that greedy decoding continues word for word."""
    model.eval()
    tokenizer.padding_side = "left"
    right = 0
    for start in range(0, len(texts), 100):
        beginnings, continuations = zip(*texts[start : start + 100], strict=True)
        inputs = tokenizer(list(beginnings), return_tensors="pt", padding=True, return_token_type_ids=False)
        outputs = model.generate(**inputs, max_new_tokens=32, do_sample=False)
        completed = tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :])
        right += sum(text.startswith(wanted) for text, wanted in zip(completed, continuations, strict=True))
    return right / len(texts)


def main() -> None:
    """Make the base and write it as a Hugging Face model folder."""
    parser = argparse.ArgumentParser(description="Make the tiny base model of the built-in demonstration.")
    parser.add_argument("--output", type=Path, default=PACKAGE / "models" / "tiny")
    output: Path = parser.parse_args().output

    started = time.monotonic()
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    tokenizer = train_tokenizer(documents(SEED))
    model = new_model(tokenizer)
    print(f"{len(tokenizer)} tokens, {model.num_parameters():,} parameters")
    pretrain(model, tokenizer)

    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)

    rng = random.Random(SEED)
    sums = [sum_of(rng).split(" = ") for _ in range(500)]
    unseen = arithmetic.draw("validation", 500, SEED)
    solved = accuracy(model, tokenizer, [(f"#### Sums: {left} =", f" {result}.") for left, result in sums])
    worked = accuracy(model, tokenizer, [(f"{p.story}\n", p.working) for p in unseen])
    concluded = accuracy(model, tokenizer, [(f"{p.story}\n", f"{p.working} {p.conclusion}") for p in unseen])
    print(f"sums solved: {solved:.1%}")
    print(f"stories with unseen numbers worked out: {worked:.1%}, concluded word for word: {concluded:.1%}")
    print(f"{output} made in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
