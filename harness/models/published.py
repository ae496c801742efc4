"""The sizes of the models that the recipes train, so that their memory can be forecast without a hub.

Each from the config.json that the model was published with, under the name it has on Hugging Face and on ModelScope.
"""

from __future__ import annotations

from typing import Any


def _dense(
    kind: str, hidden: int, wide: int, layers: int, heads: int, keys: int, words: int, tied: bool
) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "vocab_size": words,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 32768,
        "dtype": "bfloat16",
    }


_QWEN3_8B = _dense("qwen3", 4096, 12288, 36, 32, 8, 151936, False) | {"head_dim": 128}
_CONFIGS: dict[str, dict[str, Any]] = {
    "Qwen/Qwen1.5-7B": _dense("qwen2", 4096, 11008, 32, 32, 32, 151936, False),
    "Qwen/Qwen2-0.5B": _dense("qwen2", 896, 4864, 24, 14, 2, 151936, True),
    "Qwen/Qwen2-7B": _dense("qwen2", 3584, 18944, 28, 28, 4, 152064, False),
    "Qwen/Qwen2.5-1.5B-Instruct": _dense("qwen2", 1536, 8960, 28, 12, 2, 151936, True),
    "Qwen/Qwen2.5-3B": _dense("qwen2", 2048, 11008, 36, 16, 2, 151936, True),
    "Qwen/Qwen3-8B": _QWEN3_8B,
    "Qwen/Qwen3-VL-8B-Instruct": {
        "model_type": "qwen3_vl",
        "dtype": "bfloat16",
        "tie_word_embeddings": False,
        "text_config": _QWEN3_8B
        | {
            "model_type": "qwen3_vl_text",
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5000000,
                "mrope_section": [24, 20, 20],
                "mrope_interleaved": True,
            },
        },
        "vision_config": {
            "depth": 27,
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_heads": 16,
            "out_hidden_size": 4096,
            "patch_size": 16,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [8, 16, 24],
        },
    },
}
_BY_NAME = {name.lower(): config for name, config in _CONFIGS.items()}


def config_of(name: str) -> dict[str, Any] | None:
    """Return what the config.json of a model on a hub says, as far as it decides sizes; None: it is not known here."""
    return _BY_NAME.get(name.lower())
