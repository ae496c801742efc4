from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.processes.jobs import ARITHMETIC, EvaluationJob
from harness.workers.compat import prepare_imports
from harness.workers.evaluate import import_evalscope

prepare_imports()
import_evalscope(None)
torch.set_num_threads(1)  # idle OpenMP threads spin, and a model this small waits for them longest

from harness.workers import benchmarks  # noqa: E402, F401  # registers the project's own
from harness.workers.language_model import LanguageModel, load  # noqa: E402
from tests.workers.reading import Read, reader  # noqa: E402
from tests.workers.trainings import Training  # noqa: E402

MAX_NEW_TOKENS = 24


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 that reads bytes. Its weights are so large that no two tokens are nearly as likely."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("checkpoint")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.5,
        )
    )
    # As published chat models have it; evaluation must not take it over.
    model.generation_config = GenerationConfig(repetition_penalty=1.5, do_sample=True, temperature=0.7)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def read(checkpoint: Path) -> Iterator[Read]:
    """Reads the rows of a dataset_dir as LLaMA-Factory's workflow does, followed by an account."""
    with reader(checkpoint) as read_rows:
        yield read_rows


@pytest.fixture(scope="session")
def adapter(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter whose second matrix is not zero, so that it changes what the model says."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    base = AutoModelForCausalLM.from_pretrained(checkpoint)
    target = ["q_proj", "v_proj", "down_proj"]
    config = LoraConfig(r=4, target_modules=target, init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(base, config).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def arguments(checkpoint: Path) -> dict[str, Any]:
    return {"model_name_or_path": str(checkpoint), "template": "qwen3_nothink", "infer_dtype": "float32"}


@pytest.fixture(scope="session")
def base(arguments: dict[str, Any]) -> LanguageModel:
    return load(arguments, MAX_NEW_TOKENS)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., EvaluationJob]:
    def make(**settings: Any) -> EvaluationJob:
        defaults: dict[str, Any] = {
            "benchmark": ARITHMETIC,
            "limit": 10,
            "batch_size": 4,
            "max_new_tokens": MAX_NEW_TOKENS,
            "device": "cpu",
            "model_arguments": {"model_name_or_path": str(tmp_path / "nowhere")},
            "model_id": "variant",
            "output": tmp_path / "evaluation",
            "events": tmp_path / "events.jsonl",
        }
        return EvaluationJob(**(defaults | settings))

    return make


@pytest.fixture
def training(checkpoint: Path, tmp_path: Path) -> Training:
    return Training(checkpoint, tmp_path)
