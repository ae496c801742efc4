"""What LLaMA-Factory refuses is told before anything starts, and what it takes is not refused."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.compose.llamafactory_checks import NEEDED, REFUSALS
from harness.compose.points import points
from harness.trainer.fields import REFUSED
from harness.trainer.installed import syntax_tree
from tests.compose.checked import CPU, mistakes, only
from tests.compose.trained import arguments_of


@dataclass(frozen=True)
class Case:
    """A configuration that LLaMA-Factory refuses in these words, and one beside it that it takes."""

    words: str
    told: str
    """How our message begins."""
    wrong: str
    right: str
    by_parser: bool = True
    """False: it is refused later, with a model's weights, or where DeepSpeed is installed."""


ONE_OF_LORA = "Cannot use LoRA with GaLore, APOLLO or BAdam together."
ONE_OF_ALL = "Cannot use GaLore, APOLLO or BAdam together."
GALORE = "method=full llamafactory.use_galore=true llamafactory.optim=adamw_torch"
APOLLO = "method=full llamafactory.use_apollo=true llamafactory.optim=adamw_torch"
BADAM = "method=full llamafactory.use_badam=true"
ROWS = "dataset.validation_samples=10"
NO_EVALUATION = "Please make sure eval_dataset be provided or val_size >1e-6"
NO_ROWS = "dataset.validation_samples=0 training.validation_steps=null"
STREAMING = f"llamafactory.streaming=true llamafactory.dataloader_num_workers=1 training.max_steps=2 {NO_ROWS}"
ROWS_FILE = "{path:ROWS.json}"
TWO_FILES = (
    f"dataset=local dataset.path=ROWS.json dataset.also=[{ROWS_FILE}] dataset.validation_samples=0 "
    "training.validation_steps=null llamafactory.mix_strategy=interleave_under"
)
MIXED = "llamafactory.interleave_probs='0.7,0.3' training.validation_steps=2"
ZERO3 = "launch=cards llamafactory.deepspeed={zero_optimization:{stage:3}}"
ZERO2 = ZERO3.replace("3", "2")
SMALL_BLOCKS = "llamafactory.use_llama_pro=true llamafactory.freeze_trainable_layers"
BY_STEPS = "training.validation_steps=2 dataset.validation_samples=10"
KEEPS_BEST = "llamafactory.load_best_model_at_end=true"
CASES = [
    # hparams/finetuning_args.py
    Case(ONE_OF_LORA, "llamafactory.use_galore: is an", GALORE.replace("full", "lora"), GALORE),
    Case(ONE_OF_LORA, "llamafactory.use_apollo: is an", APOLLO.replace("full", "qlora"), APOLLO),
    Case(ONE_OF_LORA, "llamafactory.use_badam: is an", BADAM.replace("full", "lora"), BADAM),
    Case(ONE_OF_ALL, "llamafactory.use_apollo: so is", f"{GALORE} llamafactory.use_apollo=true", GALORE),
    Case(ONE_OF_ALL, "llamafactory.use_badam: there is", f"{GALORE} llamafactory.use_badam=true", BADAM),
    *(
        Case(
            f"`{name}` is only valid for",
            f"llamafactory.{name}: is for adapters",
            f"method=full llamafactory.{name}={value} {more}",
            f"method=lora llamafactory.{name}={value} {more}",
        )
        for name, value, more in (
            ("use_llama_pro", "true", ""),
            ("loraplus_lr_ratio", "16", ""),
            ("use_rslora", "true", ""),
            ("use_dora", "true", ""),
            ("pissa_init", "true", "llamafactory.pissa_convert=true"),
        )
    ),
    Case(
        "We only accept 4-bit or 8-bit quantization.",
        "llamafactory.ref_model_quantization_bit: ",
        "llamafactory.ref_model_quantization_bit=5",
        "llamafactory.ref_model_quantization_bit=8",
    ),
    # hparams/data_args.py
    Case(
        "`mask_history` is incompatible with `train_on_prompt`.",
        "llamafactory.mask_history: ",
        "llamafactory.mask_history=true llamafactory.train_on_prompt=true",
        "llamafactory.mask_history=true llamafactory.train_on_prompt=false",
    ),
    Case(
        "`max_samples` is incompatible with `streaming`.",
        "llamafactory.streaming: a stream is not cut",
        f"{STREAMING} dataset.max_samples=5",
        f"{STREAMING} dataset.train_samples=5",
    ),
    Case(
        "Streaming mode should have an integer val size.",
        "llamafactory.streaming: of a stream nobody",
        f"{STREAMING} dataset.val_size=0.5",
        f"{STREAMING} dataset.val_size=5",
    ),
    Case(
        "could not convert string to float",
        "llamafactory.interleave_probs: are numbers",
        f"{TWO_FILES} llamafactory.interleave_probs='0.5,half'",
        f"{TWO_FILES} llamafactory.interleave_probs='0.5,0.5'",
    ),
    Case(
        "`interleave_probs` is only valid for interleaved mixing.",
        "llamafactory.interleave_probs: datasets that follow",
        f"{TWO_FILES} llamafactory.interleave_probs='0.5,0.5'".replace("interleave_under", "concat"),
        f"{TWO_FILES} llamafactory.interleave_probs=[0.5,0.5]",
    ),
    Case(
        "The length of dataset and interleave probs should be identical.",
        "llamafactory.interleave_probs: each dataset",
        f"{TWO_FILES} llamafactory.interleave_probs='0.5,0.3,0.2'",
        f"{TWO_FILES} llamafactory.interleave_probs='0.7,0.3'",
    ),
    Case(
        "The length of eval dataset and interleave probs should be identical.",
        "llamafactory.interleave_probs: each dataset",
        f"{TWO_FILES} {MIXED} dataset.validation=[{ROWS_FILE}]",
        f"{TWO_FILES} {MIXED} dataset.validation=[{ROWS_FILE},{ROWS_FILE}]",
    ),
    Case(
        "",
        "llamafactory.interleave_probs: are shares",
        f"{TWO_FILES} llamafactory.interleave_probs='7,3'",
        f"{TWO_FILES} llamafactory.interleave_probs='0.7,0.3'",
        by_parser=False,
    ),
    # hparams/model_args.py
    *(
        Case(
            f"`{medium}_max_pixels` cannot be smaller than `{medium}_min_pixels`.",
            f"llamafactory.{medium}_{end}_pixels: ",
            f"llamafactory.{medium}_{end}_pixels={wrong}",
            f"llamafactory.{medium}_{end}_pixels={right}",
        )
        for medium, end, wrong, right in (
            ("image", "max", 32 * 32 - 1, 32 * 32),
            ("image", "min", 768 * 768 + 1, 768 * 768),
            ("video", "max", 16 * 16 - 1, 16 * 16),
            ("video", "min", 256 * 256 + 1, 256 * 256),
        )
    ),
    # hparams/parser.py
    Case(
        "Please enable `predict_with_generate` to save model predictions.",
        "llamafactory.do_predict: it is by",
        f"llamafactory.do_predict=true {ROWS}",
        f"llamafactory.do_predict=true llamafactory.predict_with_generate=true {ROWS}",
    ),
    Case(
        NO_EVALUATION,
        "llamafactory.do_eval: there are no rows",
        f"llamafactory.do_eval=true {NO_ROWS}",
        f"llamafactory.do_eval=true {ROWS}",
    ),
    Case(
        NO_EVALUATION,
        "llamafactory.predict_with_generate: there are no rows",
        f"llamafactory.predict_with_generate=true {NO_ROWS}",
        f"llamafactory.predict_with_generate=true {ROWS}",
    ),
    Case(
        "Cannot use `predict_with_generate` and `compute_accuracy` together.",
        "llamafactory.compute_accuracy: ",
        f"llamafactory.predict_with_generate=true llamafactory.compute_accuracy=true {ROWS}",
        f"llamafactory.compute_accuracy=true {ROWS}",
    ),
    Case(
        "`predict_with_generate` is incompatible with DeepSpeed ZeRO-3.",
        "llamafactory.predict_with_generate: does not go",
        f"llamafactory.predict_with_generate=true {ROWS} {ZERO3}",
        f"llamafactory.predict_with_generate=true {ROWS} {ZERO2}",
        by_parser=False,
    ),
    Case(
        "Please use `FORCE_TORCHRUN=1` to launch DeepSpeed training.",
        "llamafactory.deepspeed: DeepSpeed is started",
        ZERO3.replace("launch=cards", ""),
        ZERO3,
        by_parser=False,
    ),
    Case(
        "Please specify `max_steps` in streaming mode.",
        "llamafactory.streaming: nobody knows where",
        STREAMING.replace("max_steps=2", "max_steps=null"),
        STREAMING,
    ),
    Case(
        "Cannot use device map for quantized models in training.",
        "llamafactory.quantization_device_map: ",
        "method=qlora llamafactory.quantization_device_map=auto",
        "method=qlora",
    ),
    Case(
        "Please use scripts/pissa_init.py to initialize PiSSA in DeepSpeed ZeRO-3.",
        "llamafactory.pissa_init: does not go",
        f"llamafactory.pissa_init=true llamafactory.pissa_convert=true {ZERO3}",
        f"llamafactory.pissa_init=true llamafactory.pissa_convert=true {ZERO2}",
        by_parser=False,
    ),
    Case(
        "This device does not support `pure_bf16`.",
        "llamafactory.pure_bf16: needs an accelerator",
        "llamafactory.pure_bf16=true",
        "training.precision=bf16",
    ),
    Case(
        "`pure_bf16` is incompatible with DeepSpeed ZeRO-3.",
        "llamafactory.pure_bf16: does not go",
        f"llamafactory.pure_bf16=true {ZERO3}",
        f"training.precision=bf16 {ZERO3}",
        by_parser=False,
    ),
    Case(
        "Distributed training does not support layer-wise GaLore.",
        "llamafactory.galore_layerwise: is for one process",
        f"{GALORE} llamafactory.galore_layerwise=true training.gradient_accumulation=1 launch=cards",
        f"{GALORE} llamafactory.galore_layerwise=true training.gradient_accumulation=1",
    ),
    Case(
        "Distributed training does not support layer-wise APOLLO.",
        "llamafactory.apollo_layerwise: is for one process",
        f"{APOLLO} llamafactory.apollo_layerwise=true training.gradient_accumulation=1 launch=cards",
        f"{APOLLO} llamafactory.apollo_layerwise=true training.gradient_accumulation=1",
    ),
    Case(
        "Radio-based BAdam does not yet support distributed training, use layer-wise BAdam.",
        "llamafactory.use_badam: badam_mode=ratio",
        f"{BADAM} llamafactory.badam_mode=ratio launch=cards",
        f"{BADAM} llamafactory.badam_mode=ratio",
    ),
    Case(
        "Layer-wise BAdam only supports DeepSpeed ZeRO-3 training.",
        "llamafactory.use_badam: several processes",
        f"{BADAM} launch=cards",
        BADAM,
    ),
    *(
        Case(
            "GaLore and APOLLO are incompatible with DeepSpeed yet.",
            f"llamafactory.{flag}: does not go with llamafactory.deepspeed",
            f"{given} {ZERO2}",
            given,
            by_parser=False,
        )
        for flag, given in {"use_galore": GALORE, "use_apollo": APOLLO}.items()
    ),
    Case(
        "FP8 training is not compatible with quantization. Please disable one of them.",
        "llamafactory.fp8: ",
        "method=qlora llamafactory.fp8=true",
        "method=lora llamafactory.fp8=true",
    ),
    Case(
        "Unsloth is incompatible with DeepSpeed ZeRO-3.",
        "llamafactory.use_unsloth: ",
        f"llamafactory.use_unsloth=true {ZERO3}",
        f"llamafactory.use_unsloth=true {ZERO2}",
        by_parser=False,
    ),
    Case(
        "Cannot resize embedding layers of a quantized model.",
        "llamafactory.resize_vocab: ",
        "quantization=int8 llamafactory.resize_vocab=true",
        "llamafactory.resize_vocab=true",
    ),
    # transformers
    *(
        Case(
            words,
            "llamafactory.load_best_model_at_end: ",
            f"llamafactory.load_best_model_at_end=true {wrong}",
            f"llamafactory.load_best_model_at_end=true {right}",
        )
        for words, wrong, right in (
            (
                "requires the save and eval strategy to match",
                f"{NO_ROWS} training.save_steps=2",
                f"{NO_ROWS} training.save_steps=null",
            ),
            (
                "requires the save and eval strategy to match",
                f"{BY_STEPS} training.save_steps=null",
                f"{BY_STEPS} training.save_steps=2",
            ),
            (
                "requires the saving steps to be a round multiple",
                f"{BY_STEPS} training.save_steps=3",
                f"{BY_STEPS} training.save_steps=4",
            ),
        )
    ),
    Case(
        "--dataloader_prefetch_factor can only be set when",
        "llamafactory.dataloader_prefetch_factor: ",
        "llamafactory.dataloader_prefetch_factor=2",
        "llamafactory.dataloader_prefetch_factor=2 llamafactory.dataloader_num_workers=1",
    ),
    Case(
        "At most one of fp16 and bf16 can be True for full eval",
        "llamafactory.fp16_full_eval: ",
        "llamafactory.fp16_full_eval=true llamafactory.bf16_full_eval=true",
        "llamafactory.bf16_full_eval=true",
    ),
    Case(
        "`torch_empty_cache_steps` must be an integer bigger than 0",
        "llamafactory.torch_empty_cache_steps: ",
        "llamafactory.torch_empty_cache_steps=0",
        "llamafactory.torch_empty_cache_steps=1",
    ),
    *(
        Case(
            f"lr_scheduler_type {name} requires an eval strategy",
            f"training.scheduler: {name} goes by",
            f"training.scheduler={name} {NO_ROWS}",
            f"training.scheduler={name} {BY_STEPS}",
        )
        for name in ("reduce_lr_on_plateau", "greedy")
    ),
    Case(
        "EarlyStoppingCallback requires IntervalStrategy of steps or epoch",
        "llamafactory.early_stopping_steps: goes by",
        f"llamafactory.early_stopping_steps=2 llamafactory.metric_for_best_model=loss {NO_ROWS}",
        f"llamafactory.early_stopping_steps=2 llamafactory.metric_for_best_model=loss {BY_STEPS}",
        by_parser=False,
    ),
    Case(
        "EarlyStoppingCallback requires metric_for_best_model to be defined",
        "llamafactory.early_stopping_steps: it is not said",
        f"llamafactory.early_stopping_steps=2 {BY_STEPS}",
        f"llamafactory.early_stopping_steps=2 {BY_STEPS} training.save_steps=2 {KEEPS_BEST}",
        by_parser=False,
    ),
    # data/, model/ and train/
    Case(
        "",
        "llamafactory.streaming: without a process",
        STREAMING.replace("llamafactory.dataloader_num_workers=1", ""),
        STREAMING,
        by_parser=False,
    ),
    Case(
        "Current template does not support `train_on_prompt`.",
        "llamafactory.train_on_prompt: ",
        "llamafactory.train_on_prompt=true model.template=chatglm3",
        "llamafactory.train_on_prompt=true model.template=qwen",
        by_parser=False,
    ),
    Case("", "llamafactory.shift_attn: ", "llamafactory.shift_attn=true", "", by_parser=False),
    Case(
        "Unknown attention type: ",
        "llamafactory.flash_attn: fa3",
        "llamafactory.flash_attn=fa3",
        "llamafactory.flash_attn=fa2",
        by_parser=False,
    ),
    Case(
        "bsz should be 1 for neat packing",
        "llamafactory.neat_packing: FlashAttention-2",
        "llamafactory.neat_packing=true llamafactory.flash_attn=fa2 training.batch_size=2",
        "llamafactory.neat_packing=true llamafactory.flash_attn=fa2 training.batch_size=1",
        by_parser=False,
    ),
    Case(
        "Neat packing is not supported for gemma4, gpt_oss models for now.",
        "llamafactory.neat_packing: Gemma 4",
        "llamafactory.neat_packing=true llamafactory.flash_attn=fa2 training.batch_size=1 model.path=GEMMA4",
        "llamafactory.neat_packing=true llamafactory.flash_attn=sdpa training.batch_size=1 model.path=GEMMA4",
        by_parser=False,
    ),
    Case(
        "should be divisible by `num_layer_trainable`",
        "llamafactory.use_llama_pro: the model's layers",
        "llamafactory.use_llama_pro=true llamafactory.freeze_trainable_layers=5",
        "llamafactory.use_llama_pro=true llamafactory.freeze_trainable_layers=1",
        by_parser=False,
    ),
    Case(
        "DoRA is not compatible with PTQ-quantized models.",
        "llamafactory.use_dora: the model's weights",
        "llamafactory.use_dora=true model.path=GPTQ",
        "llamafactory.use_dora=true model.path=BITSANDBYTES",
        by_parser=False,
    ),
    Case(
        "Cannot initialize PiSSA adapter on quantized models.",
        "llamafactory.pissa_init: the model's weights",
        "llamafactory.pissa_init=true llamafactory.pissa_convert=true model.path=GPTQ",
        "llamafactory.pissa_init=true llamafactory.pissa_convert=true",
        by_parser=False,
    ),
    Case(
        "Quantized models can only be used for the LoRA or OFT tuning.",
        "method.finetuning_type=full: the model's weights",
        "method=full model.path=GPTQ",
        "method=full model.path=MXFP4",
        by_parser=False,
    ),
    Case(
        "Only 4-bit quantized model can use fsdp+qlora or auto device map.",
        "quantization.bits=8: does not go",
        f"quantization=int8 {ZERO3}",
        f"quantization=int8 {ZERO2}",
        by_parser=False,
    ),
    *(
        Case(
            words,
            "llamafactory.adapter_name_or_path: ",
            f"llamafactory.adapter_name_or_path='a/b,c/d' {more}",
            f"llamafactory.adapter_name_or_path=a/b {more}",
            by_parser=False,
        )
        for words, more in {
            "Cannot use multiple adapters in DeepSpeed ZeRO-3.": ZERO3,
            "Unsloth model only accepts a single adapter.": "llamafactory.use_unsloth=true",
            "Quantized model only accepts a single adapter.": "model.path=GPTQ",
        }.items()
    ),
    *(
        Case(words, "model.path: LLaMA-Factory reads no", f"model.path={name}", "model.path=GEMMA4", by_parser=False)
        for words, name in {
            "Please download the internvl models": "INTERNVL",
            "Please download llava models": "LLAVA",
        }.items()
    ),
    *(
        Case(
            words,
            f"llamafactory.{name}_layerwise: takes its step",
            f"{given} llamafactory.{name}_layerwise=true training.gradient_accumulation=2",
            f"{given} llamafactory.{name}_layerwise=true training.gradient_accumulation=1",
            by_parser=False,
        )
        for words, name, given in (
            ("Per-layer GaLore does not support gradient accumulation.", "galore", GALORE),
            ("Per-layer APOLLO does not support gradient accumulation.", "apollo", APOLLO),
        )
    ),
    *(
        Case(
            "Unknown optim: ",
            f"llamafactory.{flag}: LLaMA-Factory has it for",
            f"method=full llamafactory.{flag}=true {wrong}",
            f"method=full llamafactory.{flag}=true llamafactory.optim={right}",
            by_parser=False,
        )
        for flag, wrong, right in (
            ("use_galore", "", "adafactor"),
            ("use_apollo", "llamafactory.optim=adafactor", "adamw_torch"),
        )
    ),
    Case(
        "badam_update_ratio > 1e-06",
        "llamafactory.use_badam: badam_update_ratio",
        f"{BADAM} llamafactory.badam_mode=ratio llamafactory.badam_update_ratio=0",
        f"{BADAM} llamafactory.badam_mode=ratio llamafactory.badam_update_ratio=0.01",
        by_parser=False,
    ),
]
PARSED = [case for case in CASES if case.by_parser]
PARSE = """
import json, os, sys
from harness.workers import compat
compat.prepare_imports()
from llamafactory.hparams import get_train_args
alone, together, torchrun = json.load(sys.stdin)
replies = []
def parse(arguments):
    try:
        get_train_args(arguments)
    except Exception as error:
        replies.append(f"{type(error).__name__}: {error}")
    else:
        replies.append("")
for arguments in alone:
    parse(arguments)
os.environ.update(torchrun)
for arguments in together:
    parse(arguments)
json.dump(replies, open(sys.argv[1], "w"))
"""
NOT_INSTALLED = "PackageNotFoundError: "
"""What is asked last: with the package the training would be taken."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files and models that cases name, by their names there."""
    folder = tmp_path_factory.mktemp("places")
    rows = folder / "rows.json"
    rows.write_text(json.dumps([{"instruction": "Say one.", "output": "One."}] * 20))
    said: dict[str, dict[str, object]] = {
        "GEMMA4": {"model_type": "gemma4"},
        "GPTQ": {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        "MXFP4": {"quantization_config": {"quant_method": "mxfp4"}},
        "BITSANDBYTES": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        "INTERNVL": {"architectures": ["InternVLChatModel"]},
        "LLAVA": {"architectures": ["LlavaLlamaForCausalLM"]},
    }
    for name, described in said.items():
        model = folder / name.lower()
        model.mkdir()
        (model / "config.json").write_text(json.dumps(described))
        (model / "pytorch_model.bin").write_bytes(bytes(2000))
    return {"ROWS.json": str(rows), **{name: str(folder / name.lower()) for name in said}}


def overrides(given: str, places: dict[str, str]) -> list[str]:
    for name, place in places.items():
        given = given.replace(name, place)
    return [*given.split(), "dry_run=true"]


@pytest.fixture(scope="module")
def replies(places: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What LLaMA-Factory says to each configuration, by its overrides; one child imports it once for all."""
    home = tmp_path_factory.mktemp("parse")
    alone, together = {}, {}
    for given in {given for case in PARSED for given in (case.wrong, case.right)}:
        (point,) = points(overrides(given, places), False, lambda config: [])
        distributed = point.config.launch.name != "single"
        arguments = arguments_of(point.config, home, processes=1 + distributed)
        (together if distributed else alone)[given] = arguments
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    torchrun = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    answer = home / "replies.json"
    given_to_child = json.dumps([list(alone.values()), list(together.values()), torchrun])
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(answer)], input=given_to_child, text=True, capture_output=True, cwd=home
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip([*alone, *together], json.loads(answer.read_text()), strict=True))


@pytest.fixture(scope="module")
def told(places: dict[str, str]) -> dict[Case, list[str]]:
    """What the harness says to each; on a machine that is not known where LLaMA-Factory needs more than its parser."""
    return {case: mistakes(*overrides(case.wrong, places), device=CPU if case.by_parser else None) for case in CASES}


def names(cases: list[Case]) -> list[str]:
    return [f"{case.told}{case.words[:20]}" for case in cases]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_what_llamafactory_refuses_is_told_once(case: Case, told: dict[Case, list[str]]) -> None:
    (mistake,) = told[case]
    assert mistake.startswith(case.told)


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_what_it_takes_is_not_refused(case: Case, places: dict[str, str]) -> None:
    only(*overrides(case.right, places))


@pytest.mark.parametrize("case", PARSED, ids=names(PARSED))
def test_llamafactory_itself_refuses_it_and_takes_its_neighbour(case: Case, replies: dict[str, str]) -> None:
    """A version that allows it fails here."""
    assert case.words in replies[case.wrong]
    assert replies[case.right] == "" or replies[case.right].startswith(NOT_INSTALLED)


def test_every_refusal_has_its_case(told: dict[Case, list[str]]) -> None:
    every = {mistake for mistakes_of_one in told.values() for mistake in mistakes_of_one}
    assert {f"{refusal.key}: {refusal.why}; {refusal.fix}" for refusal in REFUSALS} == every


# ---- What LLaMA-Factory's source refuses, read from it: a refusal that a new version adds fails here ----

SOURCES = (
    *(f"hparams/{name}_args.py" for name in ("data", "finetuning", "model", "training")),
    *("hparams/parser.py", "model/adapter.py", "model/loader.py", "model/patcher.py"),
    *(
        f"model/model_utils/{name}.py"
        for name in ("attention", "checkpointing", "embedding", "longlora", "misc", "mod", "quantization", "unsloth")
    ),
    *("train/sft/workflow.py", "train/sft/metric.py", "train/trainer_utils.py", "train/tuner.py"),
    *(f"data/{name}.py" for name in ("collator", "data_utils", "loader", "template", "tool_utils")),
)
NOT_IN_A_TRAINING = {
    *("get_infer_args", "get_eval_args", "export_model", "_ray_training_function", "create_reward_model"),
    *("_setup_freeze_tuning", "_get_quantization_dataset", "get_batch_logps", "register_template"),
    # Of cloud files, which the harness copies first; of templates for other programs; refused with shift_attn.
    *("setup_fs", "read_cloud_json", "_convert_slots_to_jinja", "_convert_slots_to_ollama"),
    *("llama_attention_forward", "llama_flash_attention_2_forward", "llama_sdpa_attention_forward"),
}
TOLD_ELSEWHERE = {
    "Adapter is only valid for the LoRA method.": "compose/adapter_checks.py",
    "Cannot create new adapter upon a quantized model.": "compose/adapter_checks.py",
    "Quantized model only accepts a single adapter. Merge them first.": "compose/adapter_checks.py",
    "Please use scripts/pissa_init.py to initialize PiSSA for a quantized model.": "compose/adapter_checks.py",
    "Quantization is only compatible with the LoRA or OFT method.": "quantization with method=full",
    "Some specified arguments are not used by the HfArgumentParser": "names of arguments",
    "Unknown mixing strategy": "values that an annotation allows",
    "Tool utils `` not found.": "values that LLaMA-Factory has",
    "YAML config must be a dictionary": "files of settings",
    "Cannot specify `val_size` if `eval_dataset` is not None.": "dataset.val_size beside dataset.validation",
    "Template  does not exist.": "model.template",
    "Cannot find valid samples": "compose/data_checks.py",
    "Allowed file types": "compose/data_checks.py",
    "GLM-4 does not support parallel functions.": "compose/data_checks.py",
    "Unexpected role": "compose/data_checks.py",
}
CANNOT_BE_REACHED = {
    "stage=sft in every run": (
        "cannot be set as True except SFT.",
        "RM and PPO stages",
        "PPO",
        "reward model",
        "`dpo_label_smoothing`",
        "Cannot use PiSSA for current training stage.",
        "The dataset is not applicable in the current training stage.",
        "Cannot find sufficient samples",
        "Unknown task",
    ),
    "the argument is refused": (
        "KTransformers",
        "vLLM/SGLang backend",
        "mixture-of-depth",
        "Quantization dataset is necessary for exporting.",
        "Turn off `streaming` when saving",
        "hyper_parallel is not installed",
        "mcore_adapter is not installed",
        "AutoGPTQ only accepts",
        "ChatGLM model is not supported yet.",
        "--project",
    ),
    "the harness decides it, and rightly": (
        "Please launch distributed training",
        "Please specify dataset for training.",
        "Output directory already exists",
        "Cannot specify `val_size` if `dataset` is None.",
        "Invalid fine-tuning method.",
        "Unknown finetuning type",
        "Please provide `model_name_or_path`.",
        "Unsloth is currently not supported for OFT.",
        "Bitsandbytes only accepts",
        "HQQ",
        "EETQ",
        "Unknown load type",
        "File types should be identical.",
        "File  not found.",
        "Sample num mismatched.",
        "Template is required",
    ),
    "the pinned libraries are newer": ("requires transformers>=", "torch 2.9.x with Conv3D"),
    "only the loaded model, or a batch, knows": (
        "Failed to load tokenizer.",
        "Qwen3.5 packing-seq forwarding",
        "DeepSpeed ZeRO-3 or FSDP is incompatible with PTQ-quantized models.",
        "Current model does not support resizing embedding layers.",
        "Model was not supported.",
        "Unsloth does not support model type",
        "does not support gradient checkpointing.",
        "Cannot process the logits.",
        "position_ids",
        "padding_side should be right",
        "requires 3D position ids",
        "Omni models",
        "Input must be string, set[str]",
        "Stop words are required",
        "Unknown identifier",
    ),
}


def refusals() -> Iterator[str]:
    """The words of each `raise` and `assert` that a training may come to."""
    for source in SOURCES:
        for function in ast.walk(syntax_tree(f"llamafactory/{source}")):
            if isinstance(function, ast.FunctionDef) and function.name not in NOT_IN_A_TRAINING:
                for node in ast.walk(function):
                    if (isinstance(node, ast.Raise) and node.exc is not None) or isinstance(node, ast.Assert):
                        texts = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
                        words = "".join(text for text in texts if isinstance(text, str))
                        yield words or ast.unparse(node)


def test_every_refusal_of_llamafactorys_source_is_told_or_cannot_be_reached() -> None:
    known = {case.words for case in CASES if case.words} | TOLD_ELSEWHERE.keys()
    known |= {words for listed in CANNOT_BE_REACHED.values() for words in listed}
    found = set(refusals())
    assert [words for words in found if not any(part in words for part in known)] == []
    told_here = {*TOLD_ELSEWHERE, *(words for listed in CANNOT_BE_REACHED.values() for words in listed)}
    assert [part for part in told_here if not any(part in words for words in found)] == []


def test_what_llamafactory_needs_installed_is_all_that_its_parser_asks_for() -> None:
    (function,) = (
        node
        for node in syntax_tree("llamafactory/hparams/parser.py").body
        if isinstance(node, ast.FunctionDef) and node.name == "_check_extra_dependencies"
    )
    asked: dict[str, tuple[str, ...]] = {}
    for condition in ast.walk(function):
        if isinstance(condition, ast.If) and isinstance(condition.test, ast.Attribute):
            needed = [
                node for statement in condition.body for node in ast.walk(statement) if isinstance(node, ast.Call)
            ]
            asked[condition.test.attr] = tuple(ast.literal_eval(call.args[0]) for call in needed)
    swanlab = asked.pop("use_swanlab")
    assert swanlab == ("swanlab",)  # The harness follows a run itself.
    assert {name: needed for name, needed in asked.items() if name not in REFUSED} == NEEDED


@pytest.mark.parametrize("scheduler", ["reduce_lr_on_plateau", "greedy"])
def test_a_scheduler_that_follows_the_loss_says_what_must_improve(scheduler: str) -> None:
    only("llamafactory.early_stopping_steps=2", f"training.scheduler={scheduler}", *BY_STEPS.split())


@pytest.mark.parametrize("given", ["1.0", "1", "one", "'0.5;0.5'"])
def test_shares_are_numbers_in_a_text(given: str) -> None:
    (told,) = mistakes(f"llamafactory.interleave_probs={given}", "llamafactory.mix_strategy=interleave_over")
    assert told == "llamafactory.interleave_probs: are numbers in a text; write them as '0.7,0.3'"


def test_what_is_not_installed_is_told_unless_the_argument_is_refused_anyway() -> None:
    (told,) = mistakes("method=full", "llamafactory.use_galore=true", "llamafactory.optim=adamw_torch")
    assert told.startswith("llamafactory.use_galore: galore_torch is not installed; pip install galore_torch")
    (refused,) = mistakes("method=lora", "llamafactory.use_galore=true")
    assert "is an optimizer of all weights" in refused


# ---- Values, of which LLaMA-Factory's parser asks nothing ----


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("llamafactory.mix_strategy=interleave", "did you mean interleave_over?"),
        ("llamafactory.badam_mode=rows", "it has layer, ratio"),
        ("llamafactory.flash_attn=fa9", "did you mean fa3?"),
        ("llamafactory.hub_strategy=evry_save", "did you mean every_save?"),
        ("llamafactory.tool_format=qwn", "did you mean qwen?"),
        ("llamafactory.optim=adamw_tourch", "did you mean adamw_torch?"),
        ("llamafactory.logging_strategy=step", "did you mean steps?"),
        ("training.scheduler=cosin", "did you mean cosine?"),
        ("llamafactory.use_dora=maybe", "must be true or false"),
        ("llamafactory.neftune_noise_alpha='5'", "must be a number"),
        ("llamafactory.galore_rank=true", "must be a number"),
    ],
)
def test_a_value_that_llamafactory_does_not_know_is_told(wrong: str, told: str) -> None:
    (mistake,) = mistakes(wrong)
    key, _, value = wrong.partition("=")
    assert mistake.startswith(f"{key}={value.strip(chr(39)).replace('true', 'True')}: ")
    assert told in mistake


@pytest.mark.parametrize(
    "right",
    [
        "llamafactory.use_dora=false",
        "llamafactory.use_galore=false",
        "llamafactory.neftune_noise_alpha=5",
        "llamafactory.neftune_noise_alpha=null",
        "llamafactory.flash_attn=sdpa",
        "llamafactory.optim=paged_adamw_8bit",
        "llamafactory.tool_format=qwen",
        "llamafactory.use_v1_kernels=auto",
        "llamafactory.lr_scheduler_kwargs={num_cycles:2}",
        "training.scheduler=constant_with_warmup",
    ],
)
def test_a_value_that_it_knows_is_taken(right: str) -> None:
    only(right)


def test_a_file_of_settings_that_is_not_there_or_holds_none_is_told(tmp_path: Path) -> None:
    listed = tmp_path / "tokens.yaml"
    listed.write_text("- <one>\n")
    (told,) = mistakes(f"llamafactory.new_special_tokens_config={listed}")
    assert told == f"llamafactory.new_special_tokens_config={listed}: holds no NAME: VALUE; give a file that does"
    (absent,) = mistakes("llamafactory.deepspeed=zero.json", "launch=cards", "dry_run=true")
    assert absent == "llamafactory.deepspeed=zero.json: No such file or directory; give the path of a file"
    listed.write_text("<one>: the first\n")
    only(f"llamafactory.new_special_tokens_config={listed}")


def test_deepspeeds_stage_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "zero.json"
    given = (f"llamafactory.deepspeed={file}", "llamafactory.pissa_init=true", "llamafactory.pissa_convert=true")
    for stage, is_right in ((2, True), (3, False)):
        file.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
        if is_right:
            only(*given, "launch=cards", "dry_run=true")
        else:
            (told,) = mistakes(*given, "launch=cards", "dry_run=true")
            assert told.startswith("llamafactory.pissa_init: does not go with DeepSpeed's ZeRO-3")


@pytest.mark.parametrize("content", ["a: [", "\t- a", "[" * 5000, "a: &a [*a]", "\x00", "- a", "3"])
@pytest.mark.parametrize("name", ["deepspeed", "fsdp_config", "accelerator_config"])
def test_a_file_of_settings_that_is_no_yaml_is_one_message(name: str, content: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(content)
    told = mistakes(f"llamafactory.{name}={file}", "launch=cards", "dry_run=true")
    assert [message for message in told if message.startswith(f"llamafactory.{name}={file}: ")]


@pytest.mark.parametrize("text", ["{a", "{a: !!timestamp x}", "{a: &a [*a]}"])
def test_settings_that_stand_in_the_command_are_read_as_a_file_is(text: str) -> None:
    told = mistakes(f"llamafactory.deepspeed='{text}'", "launch=cards", "dry_run=true")
    assert [message for message in told if message.startswith(f"llamafactory.deepspeed={text}: ")]


@pytest.mark.parametrize(
    "given",
    [
        "hub_token=hf_literal",
        "swanlab_api_key=literal",
        "swanlab_lark_webhook_url=https://open.feishu.cn/open-apis/bot/v2/hook/ab-cd",
        "lr_scheduler_kwargs={deep:[{api_key:literal}]}",
        "lr_scheduler_kwargs={deep:[{address:'https://u:literal@x'}]}",
        "report_to=[literal-of-the-environment]",
    ],
)
def test_a_secret_is_refused_wherever_it_stands_and_is_not_repeated(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_PAT", "literal-of-the-environment")
    told = mistakes(f"llamafactory.{given}")
    assert any(": a secret does not belong in a configuration; " in message for message in told)
    assert not any("literal" in message or "ab-cd" in message for message in told)


def test_what_only_speaks_of_a_token_is_no_secret() -> None:
    assert not [told for told in mistakes("llamafactory.ignore_pad_token_for_loss='false'") if "secret" in told]
