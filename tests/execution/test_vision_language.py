"""A model that sees, trained on conversations without pictures, as the recipe qwen3_vl_tools does with Qwen3-VL-8B."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from harness.runs.record import Outcome
from tests.conftest import call, environment
from tests.running import only_record

TORCHVISION = """
import sys
from importlib.abc import MetaPathFinder

class BesideAnyTorch(MetaPathFinder):
    operators = None

    def find_spec(self, name, path, target=None):
        if name == "torchvision" and self.operators is None:
            import torch
            self.operators = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                self.operators.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

sys.meta_path.insert(0, BesideAnyTorch())
"""
"""The index has torchvision for CUDA builds of torch alone; beside others it lacks two operators, which it asks for
when it is imported and which nothing here calls."""

MAKE = """
import sys
import torch
from transformers import AutoTokenizer, Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers import Qwen3VLProcessor, Qwen3VLVideoProcessor
from harness.base.paths import PACKAGE
tokenizer = AutoTokenizer.from_pretrained(PACKAGE / "models" / "tiny")
marks = {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>", "image": "<|image_pad|>"}
marks["video"] = "<|video_pad|>"
tokenizer.add_special_tokens({"additional_special_tokens": list(marks.values())})
size = {"hidden_size": 64, "intermediate_size": 128}
rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "mrope_interleaved": True}
text = {"vocab_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
sight = {"depth": 2, "num_heads": 4, "out_hidden_size": 64, "deepstack_visual_indexes": [0, 1]}
config = Qwen3VLConfig(
    text_config=size | text | {"rope_scaling": rope},
    vision_config=size | sight | {"num_position_embeddings": 64},
    tie_word_embeddings=True,
    **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()},
)
torch.manual_seed(0)
Qwen3VLForConditionalGeneration(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
pictures = Qwen2VLImageProcessor(patch_size=16, merge_size=2)
Qwen3VLProcessor(pictures, tokenizer, Qwen3VLVideoProcessor(), tokenizer.chat_template).save_pretrained(sys.argv[1])
"""


@pytest.fixture
def surroundings(tmp_path: Path, cache: Path) -> dict[str, str]:
    around = environment(cache)
    if subprocess.run([sys.executable, "-c", "import torchvision"], env=around, capture_output=True).returncode == 0:
        return around
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(TORCHVISION)
    return around | {"PYTHONPATH": f"{site}{os.pathsep}{around['PYTHONPATH']}"}


def test_its_language_is_trained_on_tool_calls_quantized_and_merged_and_its_sight_left_alone(
    tmp_path: Path, surroundings: dict[str, str]
) -> None:
    subprocess.run([sys.executable, "-c", MAKE, "model"], cwd=tmp_path, env=surroundings, check=True, timeout=120)
    turns = [
        ("human", "find {}"),
        ("function_call", '{{"name": "find", "arguments": {{"number": {}}}}}'),
        ("observation", "{{}}"),
        ("gpt", "here is {}"),
    ]
    tools = json.dumps([{"name": "find", "description": "finds", "parameters": {"type": "object", "properties": {}}}])
    rows = [
        {"conversations": [{"from": who, "value": what.format(n)} for who, what in turns], "tools": tools}
        for n in range(20)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    done = call(
        *("sweep", "qwen3_vl_tools", "method=qlora", "model.path=model", "dataset.path=rows.json"),
        *("device=cpu", "device.chips=null", "launch=single", "training.precision=auto", "tracking=disabled"),
        *("training.max_steps=2", "training.gradient_accumulation=1"),
        *("evaluation.prompts=[{prompt: find 3}]", "evaluation.targets=[merged]", "evaluation.max_new_tokens=4"),
        cwd=tmp_path,
        env=surroundings,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = only_record(tmp_path)
    assert found.status is Outcome.COMPLETED
    assert found.evidence is not None
    assert found.evidence.quantized_modules == found.evidence.linear_modules - 1  # but the head
    assert len(found.merged_replies) == 1, found.unscored
    (adapter,) = tmp_path.glob("outputs/*/*/adapter/adapter_model.safetensors")
    with safe_open(adapter, "np") as weights:
        trained = set(weights.keys())
    assert trained
    assert not [name for name in trained if "visual" in name]
