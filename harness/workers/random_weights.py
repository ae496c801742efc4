"""`python -m harness.workers.random_weights SHAPE_JSON FOLDER`: write random bf16 weights of a shape, shard by shard.

Never more than a shard is in memory, so a 7B checkpoint can be written beside 8 GB of free memory.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from harness.base import paths
from harness.workers import compat
from harness.workers import lifecycle as in_child

compat.prepare_imports()

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

SHARD_BYTES = 2 * 2**30
STANDARD_DEVIATION = 0.02


def main(shape: dict[str, object], folder: Path) -> None:
    in_child.die_with_parent()
    folder.mkdir(parents=True)
    sizes = {key: value for key, value in shape.items() if value is not None}
    config = AutoConfig.for_model(**sizes, max_position_embeddings=32768, dtype="bfloat16")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    for file in (paths.PACKAGE / "models" / "tiny").glob("*token*"):
        shutil.copy(file, folder)
    torch.manual_seed(0)
    placed: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    number = 0

    def flush() -> None:
        nonlocal number
        number += 1
        name = f"model-{number:05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        placed.update(dict.fromkeys(shard, name))
        shard.clear()

    for name, parameter in model.named_parameters():
        weight = torch.empty(parameter.shape, dtype=torch.bfloat16)
        if parameter.dim() > 1:
            weight.normal_(std=STANDARD_DEVIATION)
        else:
            weight.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        shard[name] = weight
        if sum(tensor.nbytes for tensor in shard.values()) >= SHARD_BYTES:
            flush()
    if shard:
        flush()
    total = sum(parameter.numel() for parameter in model.parameters()) * 2
    index = {"metadata": {"total_size": total}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
