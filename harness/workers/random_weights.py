"""Writes random bf16 weights of a shape, shard by shard.

Never more than a shard is in memory, so a 7B checkpoint can be written beside 8 GB of free memory.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict

from harness.base.files import write_atomically
from harness.processes.jobs import RandomWeightsJob
from harness.workers import compat, lifecycle

SHARD_BYTES = 2 * 2**30
STANDARD_DEVIATION = 0.02


def main(job: RandomWeightsJob) -> None:
    """Write the checkpoint. Raises OSError, FileExistsError among them where its folder is there already."""
    compat.prepare_imports()
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    job.folder.mkdir(parents=True)
    sizes = {key: value for key, value in asdict(job.shape).items() if value is not None}
    config = AutoConfig.for_model(**sizes, max_position_embeddings=32768, dtype="bfloat16")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.architectures = [type(model).__name__]
    config.save_pretrained(job.folder)
    for file in job.tokenizer.glob("*token*"):
        shutil.copy(file, job.folder)
    torch.manual_seed(0)
    placed: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    number = 0

    def flush() -> None:
        nonlocal number
        number += 1
        name = f"model-{number:05d}.safetensors"
        save_file(shard, job.folder / name, metadata={"format": "pt"})
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
    write_atomically(job.folder / "model.safetensors.index.json", json.dumps(index, indent=1))


if __name__ == "__main__":
    main(lifecycle.begin(RandomWeightsJob))
