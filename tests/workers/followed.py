"""Small models whose steps are followed on the meta device and, with all their numbers, on the CPU.

`python -m tests.workers.followed FOLDER` writes what each took to FOLDER/followed.json; in a process of its own, since
the workers change what they import."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from harness.base.paths import PACKAGE

ROWS, TOKENS = 2, 64
_SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "dtype": "bfloat16",
}
DENSE = {"model_type": "qwen2", "tie_word_embeddings": False, **_SIZES}
_VISION = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 128}
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": _SIZES,
    "mistral": _SIZES,
    "gemma2": _SIZES | {"head_dim": 32},
    "phi3": _SIZES | {"pad_token_id": 0},
    "qwen3": _SIZES | {"head_dim": 32},
    "qwen3_moe": _SIZES | {"head_dim": 32, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64},
    "mixtral": _SIZES | {"num_local_experts": 4},
    "deepseek_v3": _SIZES
    | {
        "num_key_value_heads": 4,
        "n_routed_experts": 8,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "first_k_dense_replace": 1,
        "q_lora_rank": 32,
        "kv_lora_rank": 32,
        "qk_rope_head_dim": 16,
        "qk_nope_head_dim": 16,
        "v_head_dim": 32,
    },
    "gpt2": {"n_embd": 128, "n_layer": 2, "n_head": 4, "vocab_size": 1000, "n_positions": 2048, "dtype": "bfloat16"},
    "qwen2_vl": {
        "text_config": _SIZES | {"model_type": "qwen2_vl_text", "rope_parameters": _MROPE},
        "vision_config": {"depth": 2, "embed_dim": 64, "hidden_size": 128, "num_heads": 4, "patch_size": 14},
        "dtype": "bfloat16",
    },
    "qwen3_vl": {
        "text_config": _SIZES
        | {"model_type": "qwen3_vl_text", "head_dim": 32, "rope_parameters": _MROPE | {"mrope_interleaved": True}},
        "vision_config": _VISION
        | {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]},
        "dtype": "bfloat16",
    },
}

_NF4 = {"quantization_bit": 4, "quantization_method": "bnb", "quantization_type": "nf4", "double_quantization": False}
_SCHEMES: dict[str, dict[str, Any]] = {
    "lora": {},
    "nf4": _NF4,
    "nf4_double": _NF4 | {"double_quantization": True},
    "fp4": _NF4 | {"quantization_type": "fp4"},
    "int8": {"quantization_bit": 8, "quantization_method": "bnb"},
}
_CHECKPOINTING = {"disable_gradient_checkpointing": False}
_FLOAT = {"bf16": False}
_FULL = {"finetuning_type": "full"}
SETTINGS: dict[str, dict[str, Any]] = {
    **_SCHEMES,
    **{f"{name}, checkpointing": scheme | _CHECKPOINTING for name, scheme in _SCHEMES.items()},
    **{f"{name}, fp32": _SCHEMES[name] | _FLOAT for name in ("lora", "nf4_double", "int8")},
    "lora, checkpointing, fp32": _CHECKPOINTING | _FLOAT,
    "dora": {"use_dora": True},
    "dora, nf4": _NF4 | {"use_dora": True},
    "rslora of q_proj, v_proj": {"use_rslora": True, "lora_target": "q_proj,v_proj"},
    "pissa": {"pissa_init": True},
    "packing": {"packing": True},
    "neat packing": {"packing": True, "neat_packing": True},
    "padded": {},
    "padded, nf4, checkpointing": _NF4 | _CHECKPOINTING,
    "full": _FULL,
    "full, checkpointing, fp32": _FULL | _CHECKPOINTING | _FLOAT,
    "full, pure_bf16": _FULL | {"pure_bf16": True, "bf16": False},
    "full, accumulation": _FULL | {"gradient_accumulation_steps": 4},
    "full, muon": _FULL | {"use_muon": True},
    "adamw_torch": {"optim": "adamw_torch"},
    "adamw_bnb_8bit": {"optim": "adamw_bnb_8bit"},
    "paged_adamw_32bit": {"optim": "paged_adamw_32bit"},
    "one row": {"per_device_train_batch_size": 1},
}
"""What a training may ask for that its memory hangs on."""

SEVEN_B = "Qwen/Qwen2-7B"
Followed = dict[str, dict[str, int]]
"""By phase, in its order: the bytes of each part at the peak, and of all as `peak`."""


def model_folder(folder: Path, config: dict[str, Any]) -> Path:
    """Make the folder of a model that has a description and a tokenizer, and no weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for file in (PACKAGE / "models" / "tiny").glob("*token*"):
        shutil.copy(file, folder)
    return folder


def arguments_of(model: Path, **settings: Any) -> dict[str, Any]:
    """A train.yaml."""
    return {
        "model_name_or_path": str(model),
        "stage": "sft",
        "do_train": True,
        "template": "qwen",
        "finetuning_type": "lora",
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_target": "all",
        "dataset": "train",
        "dataset_dir": str(model),
        "output_dir": str(model),
        "cutoff_len": TOKENS,
        "per_device_train_batch_size": ROWS,
        "gradient_accumulation_steps": 1,
        "bf16": True,
        "optim": "adamw_torch_fused",
        "disable_gradient_checkpointing": True,
        "report_to": "none",
        "save_strategy": "no",
        **settings,
    }


def main(folder: Path) -> None:
    from harness.workers import compat

    compat.prepare_imports()
    compat.patch_bitsandbytes()
    compat.patch_dora()
    import torch

    from harness.models import published
    from harness.workers.tracing.steps import Batch, Process, Questions, Tracer

    torch.set_num_threads(1)

    def phases(process: Process, told: str = "") -> Followed:
        return {f"{told}{step.phase}": {"peak": step.booked.peak_bytes, **step.booked.parts} for step in process.steps}

    def follow(arguments: dict[str, Any], kind: str, device: str, padded: bool) -> dict[str, Any]:
        tracer = Tracer(arguments, kind, device)
        batch = Batch(arguments["per_device_train_batch_size"], TOKENS, padded)
        trained, asked = tracer.train(batch, batch), tracer.answer(Questions(3, 40, 16))
        return {"phases": phases(trained) | phases(asked, "asked: "), "untraced": tracer.untraced}

    dense = model_folder(folder / "dense", DENSE)
    settings = {
        name: {
            device: follow(arguments_of(dense, **asked), "cpu", device, "padded" in name) for device in ("meta", "cpu")
        }
        for name, asked in SETTINGS.items()
    }
    architectures = {}
    for name, config in ARCHITECTURES.items():
        model = model_folder(folder / name, {"model_type": name} | config)
        own = {"lora_target": "c_attn"} if name == "gpt2" else {"template": name} if "text_config" in config else {}
        architectures[name] = follow(arguments_of(model, **own), "cuda", "meta", True)
    kinds = {
        kind: follow(arguments_of(dense), kind, "meta", False)["phases"]["train"]["activations"]
        for kind in ("cuda", "ascend")
    }
    large = model_folder(folder / "large", published.config_of(SEVEN_B) or {})
    asked = {name: Tracer(arguments_of(large, **_SCHEMES[name]), "cuda") for name in _SCHEMES}
    loaded = {
        name: tracer.answer(Questions(1, 8, 1)).steps[0].booked.parts["weights"] for name, tracer in asked.items()
    }
    found = {"settings": settings, "architectures": architectures, "loaded": loaded, "kinds": kinds}
    (folder / "followed.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
