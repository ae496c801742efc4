"""A command line says what a training file says: its arguments, and how its processes are started."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import UserError
from harness.compose.command_line import TrainingCommand, read_script, unresolved
from harness.compose.llamafactory_file import import_training
from harness.compose.points import points
from tests.compose.checked import only
from tests.test_recipes import DOCUMENTS, TINY


def trainings(script: str, **variables: str) -> list[TrainingCommand]:
    return read_script(script, variables).trainings


def training(script: str, **variables: str) -> TrainingCommand:
    (found,) = trainings(script, **variables)
    return found


def overrides(script: str) -> list[str]:
    """What a command makes of how it is started."""
    found = training(script)
    assert not found.mistakes
    return import_training({"do_train": True, **found.arguments}, None, found.launched).overrides


def left_out(script: str) -> str:
    return "\n".join(training(script).launched.left_out)


UNDERSTOOD = """
import json, sys
from harness.workers import compat
compat.prepare_imports()
from llamafactory.hparams import get_train_args
understood = []
for arguments in json.load(sys.stdin):
    every = [item for part in get_train_args(arguments) for item in vars(part).items()]
    understood.append({name: repr(getattr(value, "value", value)) for name, value in every})
json.dump(understood, open(sys.argv[1], "w"))
"""
OBJECTS = {"accelerator_config", "distributed_state", "device_map", "logging_dir"}
LEAST = (
    f"--model_name_or_path {TINY} --do_train --dataset a --template qwen --output_dir out --use_cpu --report_to none"
)
COMMANDS = [
    LEAST,
    f"{LEAST} --lora_rank 16 --lora-alpha=32 --learning_rate 5e-5 --num_train_epochs 20 --val_size 0.1 --bf16 no",
    f"{LEAST} --no_use_fast_tokenizer --no-double-quantization --enable_thinking false --packing True --max_steps -1",
    f"{LEAST} --label_names a b --include_for_metrics loss inputs --lr_scheduler_kwargs '{{\"num_cycles\": 2}}'",
    f"{LEAST} --run_name 123 --default_system 'Be brief. -- no more' --save_steps 60 --warmup_steps 5 --seed 7",
    f"{LEAST} --include_num_input_tokens_seen --lora_r 4 --lora_rank 8 --plot_loss True --overwrite_cache",
]


def test_arguments_are_what_llamafactorys_parser_takes_the_words_for(tmp_path: Path) -> None:
    given: list[Any] = []
    for words in COMMANDS:
        found = training(f"llamafactory-cli train {words}")
        assert not found.mistakes
        given += [shlex.split(words), found.arguments]
    result = tmp_path / "understood.json"
    done = subprocess.run(
        [sys.executable, "-c", UNDERSTOOD, str(result)], input=json.dumps(given), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    understood = json.loads(result.read_text())
    for theirs, ours in zip(understood[::2], understood[1::2], strict=True):
        assert {name: theirs[name] for name in theirs if theirs[name] != ours[name] and name not in OBJECTS} == {}


ARGUMENTS = "--stage sft --lora_rank 4"


@pytest.mark.parametrize(
    "command",
    [
        f"llamafactory-cli train {ARGUMENTS}",
        f"lmf train {ARGUMENTS}",
        f"/opt/bin/llamafactory-cli train {ARGUMENTS}",
        f"python src/train.py {ARGUMENTS}",
        f"python3.11 -u src/train_bash.py {ARGUMENTS}",
        f"python -m llamafactory.cli train {ARGUMENTS}",
        f"python src/llamafactory/cli.py train {ARGUMENTS}",
        f"python src/llamafactory/launcher.py {ARGUMENTS}",
        f"./src/train.py {ARGUMENTS}",
        f"torchrun --nproc_per_node 2 --master_port=29501 src/train.py {ARGUMENTS}",
        f"python -m torch.distributed.run --nproc-per-node 2 --standalone src/train.py {ARGUMENTS}",
        f"deepspeed --num_gpus 2 --master_port=9901 src/train_bash.py {ARGUMENTS}",
        f"accelerate launch --multi_gpu --num_processes 2 src/train.py {ARGUMENTS}",
        f"nohup env A=1 llamafactory-cli train {ARGUMENTS} > log.txt 2>&1 &",
        f"time llamafactory-cli train {ARGUMENTS} 2>&1 | tee -a log.txt",
        f"cd LLaMA-Factory && CUDA_VISIBLE_DEVICES=0 llamafactory-cli train {ARGUMENTS}",
        f"bash -c 'cd /app && llamafactory-cli train {ARGUMENTS}'",
        f"docker exec -it box bash -c 'llamafactory-cli train {ARGUMENTS}'",
        f"OUT=$(llamafactory-cli train {ARGUMENTS})",
        f'LOG="$(date) `llamafactory-cli train {ARGUMENTS}`"',
        f"eval 'llamafactory-cli train {ARGUMENTS}'",
        f"sudo -u me -E llamafactory-cli train {ARGUMENTS}",
        f"env -u A nice -n 5 stdbuf -o L llamafactory-cli train {ARGUMENTS}",
        f"> $ llamafactory-cli train \\\n> > {ARGUMENTS}",
        f"case $1 in\n  a) llamafactory-cli train {ARGUMENTS} ;;\nesac",
        f"docker run --rm -e ASCEND_RT_VISIBLE_DEVICES=0 image llamafactory-cli train {ARGUMENTS}",
        f"if true; then llamafactory-cli train {ARGUMENTS}; fi",
        f"(base) root@box:~/LLaMA-Factory# llamafactory-cli train {ARGUMENTS}",
        f"!llamafactory-cli train {ARGUMENTS}",
        "llamafactory-cli train \\\r\n  --stage sft \\\r\n\t--lora_rank 4\r\n",
        'ARGS=(--stage sft\n  --lora_rank 4)\nllamafactory-cli train "${ARGS[@]}"',
    ],
)
def test_whatever_starts_it_the_arguments_are_the_same(command: str) -> None:
    found = training(command)
    assert found.arguments == {"stage": "sft", "lora_rank": 4}
    assert found.mistakes == []


@pytest.mark.parametrize(
    "command",
    [
        "llamafactory-cli export merge.yaml",
        "llamafactory-cli chat --model_name_or_path x",
        "llamafactory-cli train -h",
        "echo llamafactory-cli train x.yaml",
        "pkill -f 'llamafactory-cli train'",
        "cat src/train.py",
        "# llamafactory-cli train x.yaml",
    ],
)
def test_what_trains_nothing_is_no_training(command: str) -> None:
    assert trainings(command) == []


def test_what_else_a_script_starts_is_told_by_name_alone() -> None:
    others = ("cd x", "pip install -e .", "swanlab login -k very_secret", "llamafactory-cli chat --a b")
    script = "\n".join((*others, "llamafactory-cli train x.yaml"))
    assert read_script(script, {}).others == ["cd", "pip", "swanlab", "llamafactory-cli chat"]


SECOND_NODE = "launch=nodes launch.nnodes=2 launch.node_rank=1 launch.master_addr=h launch.master_port=5"


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("ASCEND_RT_VISIBLE_DEVICES=0 {}", "device=ascend device.chips=[0]"),
        ("export ASCEND_RT_VISIBLE_DEVICES=0,1,2\n{}", "device=ascend device.chips=[0,1,2] launch=cards"),
        ("CUDA_VISIBLE_DEVICES='2, 3' {}", "device=cuda device.chips=[2,3] launch=cards"),
        ("CUDA_VISIBLE_DEVICES= {}", "device=cpu"),
        ("CUDA_VISIBLE_DEVICES=-1 {}", "device=cpu"),
        ("CUDA_VISIBLE_DEVICES=0,1,2,3 NPROC_PER_NODE=2 {}", "device=cuda device.chips=[0,1] launch=cards"),
        ("NPROC_PER_NODE=4 {}", "device.chips=[0,1,2,3] launch=cards"),
        ("FORCE_TORCHRUN=1 {}", "launch=cards"),
        ("FORCE_TORCHRUN=1 NNODES=1 {}", "launch=cards"),
        ("FORCE_TORCHRUN=1 NNODES=2 NODE_RANK=1 MASTER_ADDR=h MASTER_PORT=5 {}", SECOND_NODE),
        ("NNODES=2 NODE_RANK=0 {}", "launch=nodes launch.nnodes=2"),
        ("USE_MODELSCOPE_HUB=1 {}", "model.hub=modelscope"),
        ("USE_MODELSCOPE_HUB=0 {}", ""),
        ("env -u ASCEND_RT_VISIBLE_DEVICES {}", ""),
        ("export ASCEND_RT_VISIBLE_DEVICES=1\nenv -u ASCEND_RT_VISIBLE_DEVICES {}", ""),
        ("ASCEND_RT_VISIBLE_DEVICES=1 bash -c '{}'", "device=ascend device.chips=[1]"),
        ("docker run -e ASCEND_RT_VISIBLE_DEVICES=1 image bash -lc '{}'", "device=ascend device.chips=[1]"),
        (
            "NNODES=2 NODE_RANK=1 MASTER_ADDR=10.0.0.1 {}",
            "launch=nodes launch.nnodes=2 launch.node_rank=1 launch.master_addr=10.0.0.1",
        ),
        (
            "torchrun --nnodes=2 --rdzv_endpoint=[::1]:29500 src/train.py",
            "launch=nodes launch.nnodes=2 launch.master_addr='::1' launch.master_port=29500",
        ),
        (
            "torchrun --nnodes=2 --rdzv_endpoint=fe80::1 --master_port 5 src/train.py",
            "launch=nodes launch.nnodes=2 launch.master_addr='fe80::1' launch.master_port=5",
        ),
        ("OMP_NUM_THREADS=8 {}", "device.threads=8"),
        (
            "torchrun --nproc_per_node 1 --nnodes 1 --node_rank 0 --master_addr h --master_port 7007 src/train.py",
            "launch=cards launch.master_addr=h launch.master_port=7007",
        ),
        (
            "torchrun --nproc-per-node=2 --nnodes=2 --node-rank=1 --rdzv_endpoint=h:5 src/train.py",
            f"device.chips=[0,1] {SECOND_NODE}",
        ),
        ("deepspeed --include localhost:1,3 src/train.py", "device.chips=[1,3] launch=cards"),
        (
            "accelerate launch --num_processes 4 --num_machines 2 --machine_rank 1 --main_process_ip h "
            "--main_process_port 5 src/train.py",
            f"device.chips=[0,1] {SECOND_NODE}",
        ),
        ("NPROC_PER_NODE=2 {} --use_cpu", "device=cpu launch=cards launch.nproc=2"),
    ],
)
def test_where_and_by_how_many_it_trains_is_said_by_keys(command: str, made: str) -> None:
    found = overrides(command.format("llamafactory-cli train"))
    keys = ("device", "launch", "model.hub")
    assert " ".join(text for text in found if text.startswith(keys)) == made
    rows = ["dataset=arithmetic", f"model.path={TINY}", "model.template=qwen"]
    nodes = ["launch.master_addr=h"] if "launch=nodes" in found and "master_addr" not in made else []
    config = only(*found, *rows, *nodes, device=None)
    assert config.launch.name == ("nodes" if "nodes" in made else "cards" if "cards" in made else "single")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("HF_ENDPOINT=x A=1 llamafactory-cli train", "HF_ENDPOINT, A: without a key of the harness; export"),
        ("HF_TOKEN=hf_secret SWANLAB_API_KEY=y llamafactory-cli train", "HF_TOKEN, SWANLAB_API_KEY: secret; export"),
        ("USE_RAY=1 llamafactory-cli train", "USE_RAY: the harness starts its processes itself"),
        ("NNODES=2 python src/train.py", "NNODES: llamafactory-cli alone reads it"),
        ("CUDA_VISIBLE_DEVICES=GPU-1a llamafactory-cli train", "CUDA_VISIBLE_DEVICES=GPU-1a: names no numbers"),
        ("NPROC_PER_NODE=² llamafactory-cli train", "NPROC_PER_NODE=²: is no whole number; give device.chips"),
        (f"NPROC_PER_NODE={'9' * 5000} llamafactory-cli train", "is no whole number; give device.chips"),
        ("NPROC_PER_NODE=gpu llamafactory-cli train", "NPROC_PER_NODE=gpu: is no whole number; give device.chips"),
        (
            "torchrun --max_restarts 3 src/train.py",
            "torchrun --max_restarts=3: the harness starts its processes itself",
        ),
        (
            "accelerate launch --config_file f.yaml src/train.py",
            "accelerate --config_file=f.yaml: is not here; give what it says of chips and machines: device.chips=[0,1]",
        ),
        (
            "accelerate launch --zero_stage 2 src/train.py",
            "accelerate --zero_stage=2: give +deepspeed=zero0 launch=cards llamafactory.deepspeed.zero_optimization.",
        ),
        (
            "accelerate launch --use_fsdp --fsdp_sharding_strategy 1 --num_machines 2 src/train.py",
            "accelerate --use_fsdp, accelerate --fsdp_sharding_strategy=1: the harness trains a whole model on each "
            "chip, or parts it by DeepSpeed; give +deepspeed=zero0 launch=nodes llamafactory.deepspeed.",
        ),
        (
            "accelerate launch --deepspeed_config_file z.json src/train.py",
            "accelerate --deepspeed_config_file=z.json: write `deepspeed: z.json` into the training file",
        ),
        (
            "accelerate launch --mixed_precision bf16 src/train.py",
            "accelerate --mixed_precision=bf16: holds where the training says neither bf16 nor fp16; then give "
            "training.precision=bf16",
        ),
        ("deepspeed --hostfile h src/train.py", "deepspeed --hostfile=h: names machines; start `harness run` with"),
        ("sudo -u me llamafactory-cli train", "sudo -u me: start `harness run` so too"),
        ("sudo --user=me llamafactory-cli train", "sudo --user me: start `harness run` so too"),
        ("env -uA llamafactory-cli train", "env -u A: start `harness run` so too"),
        ("env -i llamafactory-cli train", "env -i: start `harness run` so too"),
        ("srun bash -c 'llamafactory-cli train x.yaml'", "srun: starts the training"),
        (
            "MASTER_ADDR=$(hostname -I) llamafactory-cli train",
            "MASTER_ADDR=$(hostname -I): is known only once it runs; give launch.master_addr=ADDRESS",
        ),
        ("NNODES=$N llamafactory-cli train", "NNODES=${N}: nothing gives N a value; give launch=nodes launch.nnodes=N"),
        (
            "NPROC_PER_NODE=`n` NNODES=2 llamafactory-cli train",
            "NPROC_PER_NODE=`n`: is known only once it runs; give device.chips=[0,1] launch=nodes",
        ),
        ("NODE_RANK=${1} NNODES=2 llamafactory-cli train", "NODE_RANK=${1}: $1 is given to the script"),
        ("CUDA_VISIBLE_DEVICES=$GPU llamafactory-cli train", "CUDA_VISIBLE_DEVICES=${GPU}: nothing gives GPU a value"),
        ("USE_MODELSCOPE_HUB=$Q llamafactory-cli train", "USE_MODELSCOPE_HUB=${Q}: nothing gives Q a value"),
        (
            "torchrun --rdzv_endpoint=$A:5 src/train.py",
            "torchrun --rdzv_endpoint=${A}:5: nothing gives A a value; give launch.master_addr=ADDRESS",
        ),
        ("NNODES=2 llamafactory-cli train", "for more give device.chips=[0,1] launch=nodes"),
        (
            "if [ $N = 1 ]; then llamafactory-cli train; fi",
            "line 1: in a branch: `if [ $N = 1 ]`; the command is for where that holds",
        ),
        (
            "if x; then\n export CUDA_VISIBLE_DEVICES=0\nfi\nllamafactory-cli train",
            "CUDA_VISIBLE_DEVICES: is set in a branch: `if x`",
        ),
        ("deepspeed --include a:0@b:1 src/train.py", "deepspeed --include=a:0@b:1: names machines"),
        ("srun -N 2 llamafactory-cli train", "srun: starts the training; let it start `harness run` in its place"),
        ("llamafactory-cli train", "device.chips: no chip is named, and LLaMA-Factory takes all"),
    ],
)
def test_what_of_a_start_has_no_key_is_named(command: str, named: str) -> None:
    assert named in left_out(command)
    assert "hf_secret" not in left_out(command)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("llamafactory-cli train --lora_rank 1e1", "--lora_rank 1e1: a whole number is needed"),
        ("llamafactory-cli train --learning_rate much", "--learning_rate much: a number is needed"),
        ("llamafactory-cli train --bf16 maybe", "--bf16 maybe: true or false is needed"),
        ("llamafactory-cli train --packing", "--packing: true or false is needed"),
        ("llamafactory-cli train --template", "--template: a value is needed"),
        ("llamafactory-cli train --stage sft extra", "extra: stands alone"),
        ("llamafactory-cli train -stage sft", "-stage: LLaMA-Factory's arguments begin with two hyphens"),
        ("llamafactory-cli train —stage sft", "—stage: begins with a dash that is no hyphen; give --stage"),
        ("llamafactory-cli train x.yaml --lora_rank 8", "--lora_rank: behind a file LLaMA-Factory takes KEY=VALUE"),
        ("llamafactory-cli train $ARGS", "${ARGS}: nothing gives ARGS a value; write the arguments in its place"),
        (
            "llamafactory-cli train --stage sft \\\n  # why\n  --lora_rank 8",
            "line 3: --lora_rank: stands behind the end",
        ),
        ("llamafactory-cli train --stage sft \\ \n  --lora_rank 8", "line 1: a blank stands behind the backslash"),
        ("llamafactory-cli train --run_name it's", "line 1: a quote (') is opened and never closed"),
    ],
)
def test_what_llamafactory_would_not_get_as_it_looks_is_a_mistake(script: str, told: str) -> None:
    found = training(script)
    assert any(told in mistake for mistake in found.mistakes), found.mistakes


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ("CUDA_VISIBLE_DEVICES=0 NPROC_PER_NODE=2", "2 processes on 1 visible chips"),
        ("CUDA_VISIBLE_DEVICES=0 ASCEND_RT_VISIBLE_DEVICES=0", "chips of another kind are named too"),
    ],
)
def test_chips_that_do_not_go_together_are_a_mistake(variables: str, told: str) -> None:
    launched = training(f"{variables} llamafactory-cli train").launched
    with pytest.raises(UserError, match=told):
        import_training({}, None, launched)


def test_the_beginning_of_a_name_and_a_repetition_are_taken_as_the_parser_takes_them_and_told() -> None:
    found = training("llamafactory-cli train --lora_r 4 --lora_rank 8")
    assert found.arguments == {"lora_rank": 8}
    assert found.notes == [
        "--lora_r: is taken for --lora_rank, whose name begins so",
        "--lora_rank: is given twice, and the last holds",
    ]


def test_a_variable_without_a_value_is_told_where_it_matters() -> None:
    script = (
        "for lr in 1e-4 5e-5; do\n"
        "  llamafactory-cli train --model_name_or_path $MODEL --output_dir $OUT --learning_rate $lr \\\n"
        "    --run_name r-$(date)\n"
        "done"
    )
    found = training(script)
    told = unresolved(found.arguments, found.loops)
    assert told["model_name_or_path"].endswith("or export MODEL=... before the import")
    assert "--multirun training.learning_rate=1e-4,5e-5" in told["learning_rate"]
    assert told["run_name"].startswith("run_name=r-$(date): is known only once it runs")
    assert "output_dir" not in told
    assert training(script, MODEL="/m").arguments["model_name_or_path"] == "/m"


def test_old_options_are_read_without_a_declaration() -> None:
    found = training("python src/train_bash.py --evaluation_strategy steps --flash_attn --dev_ratio 0.1 --no_cuda")
    assert found.arguments == {"evaluation_strategy": "steps", "flash_attn": True, "dev_ratio": 0.1, "no_cuda": True}


@pytest.mark.skipif(not DOCUMENTS, reason="the tutorials are not here (../shared/seeds)")
def test_every_training_of_the_tutorials_is_read() -> None:
    found = {name: trainings(path.read_text(encoding="utf-8")) for name, path in sorted(DOCUMENTS.items())}
    assert {name: len(each) for name, each in found.items()} == {"000": 2, "001": 1, "002": 2, "003": 1, "004": 2}
    every = [each for several in found.values() for each in several]
    assert [each.mistakes for each in every] == [[]] * 8
    assert all(
        each.arguments or each.shown or each.file in ("/app/config.yaml", "qwen1_5_lora_sft_ds.yaml") for each in every
    )


def test_what_looks_like_a_key_is_not_repeated() -> None:
    for line in ("train -hf_hub_token hf_X1", "train --stage sft hf_X1", "train a.yaml --hf_hub_token=hf_X1"):
        (training,) = read_script(f"llamafactory-cli {line}", {}).trainings
        assert training.mistakes
        assert not any("hf_X1" in mistake for mistake in training.mistakes), training.mistakes


def test_what_is_known_only_once_it_runs_becomes_no_key() -> None:
    command = "MASTER_ADDR=$A MASTER_PORT=$(port) NODE_RANK=$R NNODES={} NPROC_PER_NODE=$P llamafactory-cli train"
    for machines, made in (("2", ["launch=nodes", "launch.nnodes=2"]), ("$N", [])):
        assert [text for text in overrides(command.format(machines)) if text.startswith(("launch", "device"))] == made


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("NPROC_PER_NODE=2 llamafactory-cli train", "device: nothing says what kind the chips are"),
        ("MASTER_PORT=5 llamafactory-cli train", "launch.master_port=5: one process is started, which meets no other"),
    ],
)
def test_keys_that_need_another_are_told(command: str, told: str) -> None:
    left_out = import_training({}, None, training(command).launched).left_out
    assert any(line.startswith(told) for line in left_out), left_out


ACCELERATE = """
compute_environment: LOCAL_MACHINE
distributed_type: {kind}
downcast_bf16: 'no'
gpu_ids: all
machine_rank: 1
main_process_ip: 10.0.0.1
main_process_port: 29500
main_training_function: main
mixed_precision: bf16
num_machines: 2
num_processes: 4
rdzv_backend: static
same_network: true
tpu_env: []
tpu_use_cluster: false
use_cpu: false
{more}
"""


@pytest.mark.parametrize(
    ("kind", "more", "named"),
    [
        ("MULTI_GPU", "", []),
        (
            "FSDP",
            "fsdp_config: {fsdp_sharding_strategy: FULL_SHARD, fsdp_offload_params: false}",
            ["f.yaml: distributed_type=FSDP, f.yaml: fsdp_sharding_strategy=FULL_SHARD: the harness trains a"],
        ),
        (
            "DEEPSPEED",
            "deepspeed_config: {zero_stage: 2, deepspeed_multinode_launcher: standard}",
            ["f.yaml: zero_stage=2: give +deepspeed=zero0 launch=nodes llamafactory.deepspeed."],
        ),
    ],
)
def test_the_configuration_of_accelerate_is_read(kind: str, more: str, named: list[str]) -> None:
    files = {"f.yaml": ACCELERATE.format(kind=kind, more=more)}
    command = "accelerate launch --config_file f.yaml --machine_rank 0 src/train.py"
    (found,) = read_script(command, {}, lambda name, *_: files.get(name)).trainings
    made = import_training({}, None, found.launched)
    assert [text for text in made.overrides if text.startswith(("launch", "device"))] == [
        "device.chips=[0,1]",
        "launch=nodes",
        "launch.nnodes=2",
        "launch.master_addr=10.0.0.1",
        "launch.master_port=29500",
    ]
    told = "\n".join(made.left_out)
    assert "f.yaml: mixed_precision=bf16: holds where" in told
    assert all(line in told for line in named)
    assert ("zero" in told or "DeepSpeed" in told) == bool(named)


def test_a_configuration_of_accelerates_that_cannot_be_read_is_named() -> None:
    command = "accelerate launch --config_file f.yaml src/train.py"
    (found,) = read_script(command, {}, lambda *_: "{a: " * 3000).trainings
    assert any("--config_file=f.yaml: cannot be read as YAML" in line for line in found.launched.left_out)


def test_the_advice_of_a_zero_stage_is_one_that_a_run_takes() -> None:
    told = left_out("accelerate launch --zero_stage 2 --num_processes 2 src/train.py").partition("give ")[2]
    whole = [*overrides("lmf train"), "model.path=m", "model.template=qwen", *told.partition("\n")[0].split()]
    (point,) = points(whole, False, lambda _: [])
    assert point.config.llamafactory["deepspeed"]["zero_optimization"] == {"stage": 2}
    assert point.config.launch.name == "cards"


DOCUMENT = """
First the base:

```yaml
model_name_or_path: m
dataset: a
```

then what is merged, and the wrong words of a part:

```yaml
model_name_or_path: m
export_dir: e
```

```yaml
learning_rate: 1e-4
```
"""


def test_training_files_that_no_command_names_are_found() -> None:
    alone = read_script(DOCUMENT, {})
    assert [block.line for block in alone.unnamed] == [5, 17]
    beside = read_script(DOCUMENT + "\n```bash\nllamafactory-cli train --stage sft\n```\n", {})
    assert [block.line for block in beside.unnamed] == [5]
    named = read_script(DOCUMENT.replace("base:", "base.yaml:") + "\n```bash\nlmf train base.yaml\n```\n", {})
    assert named.unnamed == []
    assert named.trainings[0].shown is not None
    assert named.trainings[0].shown.line == 5


def test_lines_within_a_text_for_another_shell_are_those_of_the_script() -> None:
    inner = 'ssh box bash -c "cd x && \\\n  llamafactory-cli train \\\n --stage sft\n  llamafactory-cli train y.yaml"'
    first, second = trainings(f"cd a\n{inner}\n")
    assert (first.line, first.folder, first.arguments) == (3, "a/x", {"stage": "sft"})
    assert (second.line, second.file) == (5, "y.yaml")
    assert "ssh: starts the training; let it start `harness run` in its place" in first.launched.left_out
