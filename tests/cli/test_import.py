"""`harness import`: whatever holds a training becomes a command, and everything else in it is told."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.base.errors import UserError
from harness.cli.importing import import_file
from tests.compose.checked import only
from tests.conftest import Harness
from tests.test_recipes import TINY

LEAST = {"model_name_or_path": str(TINY), "stage": "sft", "do_train": True, "template": "qwen3_nothink", "dataset": "a"}
ROWS = [{"instruction": f"q{number}", "input": "", "output": f"a{number}"} for number in range(6)]
TURNS = [{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}] * 3


class Told:
    """What an import prints."""

    def __init__(self, printed: str) -> None:
        self.printed = printed
        self.commands: list[list[str]] = []
        self.sections: dict[str, list[str]] = {}
        script = 'harness() { printf "%s\\0" "$@"; echo; }\n' + printed
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        self.commands = [line.split("\0")[1:-1] for line in done.stdout.splitlines() if "\0" in line]
        section: list[str] = []
        for line in printed.splitlines():
            if line.startswith("#   "):
                section.append(line[4:])
            elif line.startswith("# "):
                section = self.sections.setdefault(line[2:].rstrip(":"), [])

    @property
    def left_out(self) -> list[str]:
        return self.sections["Not carried over"]

    @property
    def overrides(self) -> list[str]:
        (command,) = self.commands
        return command


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Imports in a folder that has datasets: a (alpaca), sg (sharegpt) and kto (preferences)."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.json").write_text(json.dumps(ROWS))
    (data / "sg.json").write_text(json.dumps(TURNS))
    (data / "kto.json").write_text(json.dumps([{**row, "good": True} for row in ROWS]))
    columns = {"prompt": "instruction", "response": "output", "kto_tag": "good"}
    entries = {"a": {}, "sg": {"formatting": "sharegpt"}, "kto": {"columns": columns}}
    info = {name: {"file_name": f"{name}.json", **entry} for name, entry in entries.items()}
    (data / "dataset_info.json").write_text(json.dumps(info))

    def tell(*words: str, stdin: str = "") -> Told:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        import_file(list(words))
        return Told(capsys.readouterr().out)

    return tell


def file(name: str, **arguments: Any) -> str:
    Path(name).write_text(yaml.safe_dump({**LEAST, **arguments}, allow_unicode=True))
    return name


def test_what_is_piped_in_and_is_no_text_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    with pytest.raises(UserError, match=r"the input: cannot be read: .*; save it as UTF-8"):
        import_file(["-"])


def test_adapters_below_and_a_checkpoint(told: Any) -> None:
    """Quantized weights take no second adapter, so that no QLoRA beside it is promised."""
    found = told(
        file(
            "x.yaml",
            adapter_name_or_path="saves/sft1,saves/sft2",
            create_new_adapter=True,
            resume_from_checkpoint="saves/x/checkpoint-500",
        )
    )
    assert {
        "llamafactory.adapter_name_or_path='saves/sft1,saves/sft2'",
        "llamafactory.create_new_adapter=true",
    } <= set(found.overrides)
    assert found.left_out == [
        "resume_from_checkpoint: a run starts at its beginning; one that was stopped is trained again"
    ]
    (why,) = found.sections["LoRA beside QLoRA it would refuse"]
    assert why.startswith("llamafactory.adapter_name_or_path: adapters cannot be merged into quantized weights")
    assert "--multirun" not in found.printed


def test_names_and_values_of_earlier_versions(told: Any) -> None:
    found = told(
        file("x.yaml", quantization_bit=4, evaluation_strategy="steps", eval_steps=100, val_size=0.5, flash_attn=True)
    )
    assert {"llamafactory.flash_attn=fa2", "training.validation_steps=100"} <= set(found.overrides)
    assert found.sections["Named otherwise by now"] == [
        "evaluation_strategy: eval_strategy=steps since transformers 4.41",
        "flash_attn=True: flash_attn=fa2 since LLaMA-Factory 0.8.3",
    ]
    assert only(*found.overrides, device=None).llamafactory["flash_attn"] == "fa2"


def test_predictions_beside_the_training(told: Any) -> None:
    found = told(file("x.yaml", eval_dataset="a", do_predict=True, predict_with_generate=True, eval_steps=5))
    config = only(*found.overrides, device=None)
    assert config.llamafactory == {"do_predict": True, "predict_with_generate": True}
    assert len(config.dataset.validation) == 1
    assert found.sections["Without effect, for LLaMA-Factory too"] == [
        "eval_steps: nothing goes by it, eval_strategy is no"
    ]


def test_mixed_datasets_of_which_one_cannot_be_trained_on(told: Any) -> None:
    mixed = {"interleave_probs": "0.5,0.3,0.2", "mix_strategy": "interleave_over"}
    found = told(file("x.yaml", dataset="a,sg,kto", **mixed))
    assert [line.partition(":")[0] for line in found.left_out] == ["dataset=kto", "interleave_probs=0.5,0.3,0.2"]
    assert "columns.kto_tag: is of training on preferences" in found.left_out[0]
    config = only(*found.overrides, device=None)
    assert len(config.dataset.also) == 1
    whole = told(file("x.yaml", dataset="a,sg", interleave_probs="0.5,0.5", mix_strategy="interleave_over"))
    assert only(*whole.overrides, device=None).llamafactory["interleave_probs"] == "0.5,0.5"


def test_swanlab_with_its_key(told: Any) -> None:
    found = told(
        file(
            "x.yaml",
            use_swanlab=True,
            swanlab_project="my-project",
            swanlab_run_name="实验 1, lr=1e-4",
            swanlab_api_key="abcSECRET",
            swanlab_mode="local",
        )
    )
    config = only(*found.overrides, device=None)
    assert (config.tracking.mode, config.tracking.project) == ("local", "my-project")
    assert config.tracking.experiment == "实验 1, lr=1e-4"
    assert "abcSECRET" not in found.printed
    assert any(line.startswith("swanlab_api_key: a secret") for line in found.left_out)


def test_a_split_and_a_mistyped_key_of_dataset_info(told: Any) -> None:
    info = {
        "first": {"file_name": "a.json", "split": "train[:2]"},
        "typo": {"file_name": "a.json", "format": "sharegpt"},
    }
    Path("data/dataset_info.json").write_text(json.dumps(info))
    assert "dataset.max_samples=2" in told(file("x.yaml", dataset="first")).overrides
    (line,) = told(file("x.yaml", dataset="typo")).sections["Without effect, for LLaMA-Factory too"]
    assert line.startswith("dataset_info.json: typo.format: LLaMA-Factory reads no such key and takes")


def test_what_harness_run_would_refuse_is_told_at_once(told: Any) -> None:
    found = told(file("x.yaml", template="qwen_three", pissa_init=True, max_samples=0))
    refused = "\n".join(found.sections["`harness run` would refuse it here, as it stands"])
    for key in ("model.template=qwen_three", "llamafactory.pissa_init", "dataset.max_samples=0"):
        assert key in refused


SCRIPT = """#!/bin/bash
set -e
export ASCEND_RT_VISIBLE_DEVICES=0,1
export HF_TOKEN=hf_very_secret
MODEL={model}
cd /somewhere/LLaMA-Factory || true
pip install -e ".[torch]"

llamafactory-cli train \\
    --stage sft --do_train \\
    --model_name_or_path $MODEL \\
    --dataset a \\
    --template qwen3_nothink \\
    --output_dir saves/$(date +%F) \\
    --learning_rate 5e-5 \\
    --plot_loss --fp16 2>&1 | tee log.txt
"""


@pytest.mark.parametrize("source", ["2-train 一键.sh", "-"])
def test_a_script_is_taken_from_a_file_and_from_the_input(source: str, told: Any) -> None:
    text = SCRIPT.format(model=TINY)
    Path("2-train 一键.sh").write_text(text)
    found = told(source, stdin=text)
    sweep = "sweep=imported" if source == "-" else "sweep=2-train-一键"
    assert {sweep, "training.precision=fp16", "training.learning_rate=5e-05"} <= set(found.overrides)
    assert {"device=ascend", "device.chips=[0,1]", "launch=cards", f"model.path={TINY}"} <= set(found.overrides)
    assert any(text.startswith("dataset.path=") for text in found.overrides)
    assert "hf_very_secret" not in found.printed
    assert "HF_TOKEN: secret; export before `harness run`, and write into no file" in found.left_out
    assert "Left as they are: cd, pip" in found.sections


@pytest.mark.parametrize("is_one_word", [True, False])
def test_a_command_is_taken_as_words_and_as_one_text(is_one_word: bool, told: Any) -> None:
    words = f"CUDA_VISIBLE_DEVICES=1 llamafactory-cli train --model_name_or_path {TINY} --template qwen --dataset a"
    words += " --default_system 'Be brief, \"$HOME\".' --output_dir " + "x" * 300
    found = told(words) if is_one_word else told(*shlex.split(words))
    assert {"device=cuda", "device.chips=[1]", "sweep=imported"} <= set(found.overrides)
    assert only(*found.overrides, device=None).llamafactory["default_system"] == 'Be brief, "$HOME".'


def test_the_console_takes_a_command_with_options_of_its_own(harness: Harness) -> None:
    words = f"llamafactory-cli train --model_name_or_path {TINY} --template qwen --lora_rank 4 --help_me no"
    done = harness("import", *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert "help_me: LLaMA-Factory has no such training argument" in done.stderr
    done = harness("import", *words.split()[:-2])
    assert "method.rank=4" in done.stdout
    assert done.returncode == 0, done.stderr


TUTORIAL = """# 教程

不要运行 `llamafactory-cli train nothing.yaml`。先保存为 `lora.yaml`：

```yaml
model_name_or_path: {model}
template: qwen3_nothink
do_train: true
dataset: a
```

QLoRA 同样：

```yaml
model_name_or_path: {model}
template: qwen3_nothink
do_train: true
dataset: a
quantization_bit: 4
double_quantization: false
```

> 保存到 LLaMA-Factory/examples/qlora.yaml

```bash
cd LLaMA-Factory
# LoRA
ASCEND_RT_VISIBLE_DEVICES=0 llamafactory-cli train lora.yaml
# QLoRA
ASCEND_RT_VISIBLE_DEVICES=0 llamafactory-cli train examples/qlora.yaml learning_rate=2e-4
```
"""


def test_a_tutorial_with_its_files_becomes_one_comparison(told: Any) -> None:
    Path("how.md").write_text(TUTORIAL.format(model=TINY))
    lora, qlora = told("how.md").commands
    assert {"sweep=how", "method=lora", "device=ascend"} <= set(lora)
    assert {"sweep=how", "method=qlora", "training.learning_rate=0.0002"} <= set(qlora)


NODES = """
In both:

.. code-block:: shell

  echo "model_name_or_path: $BASE

  template: qwen3_nothink  # the prompts
  do_train: true
  dataset: mine
  output_dir: ${WORK}/out
  # report_to: tensorboard" > /app/config.yaml && mkdir -p /app/data && \\
  echo "{\\"mine\\":{\\"file_name\\":\\"$ROWS/a.json\\"}}" > /app/data/dataset_info.json

On node 0:

.. code-block:: shell

  FORCE_TORCHRUN=1 NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500 llamafactory-cli train /app/config.yaml

On node 1:

.. code-block:: shell

  FORCE_TORCHRUN=1 NNODES=2 NODE_RANK=1 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500 llamafactory-cli train /app/config.yaml
"""


def test_files_that_a_document_writes_are_read_and_its_nodes_are_one_run(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("nodes.rst").write_text(NODES)
    with pytest.raises(UserError) as raised:
        told("nodes.rst")
    assert all("model_name_or_path=${BASE}: nothing gives BASE a value" in line for line in raised.value.mistakes)
    monkeypatch.setenv("BASE", str(TINY))
    monkeypatch.setenv("ROWS", str(Path("data").resolve()))
    first, second = told("nodes.rst").commands
    assert f"dataset.path={Path('data/a.json').resolve()}" in first
    assert set(second) - set(first) == {"launch.node_rank=1"}
    assert {"launch=nodes", "launch.master_port=29500", "sweep=nodes"} <= set(first)


HEREDOC = """
  export ASCEND_RT_VISIBLE_DEVICES=0
  cat << EOF > run.yaml
  ### model
  model_name_or_path: {model}
  template: qwen3_nothink
  do_train: true
  deepspeed: examples/zero.json
  dataset: a,sg
  EOF

  torchrun --nproc_per_node 1 --master_addr 127.0.0.1 --master_port 7007 \\
      src/train.py run.yaml
"""


def test_a_here_document_is_the_training_file(told: Any) -> None:
    Path("examples").mkdir()
    Path("examples/zero.json").write_text('{"zero_optimization": {"stage": 0}}')
    found = told("-", stdin=HEREDOC.format(model=TINY))
    assert "llamafactory.deepspeed={zero_optimization:{stage:0}}" in found.overrides
    assert {"launch=cards", "launch.master_port=7007", "device.chips=[0]"} <= set(found.overrides)
    assert any(text.startswith("dataset.also=") for text in found.overrides)


def test_the_good_trainings_are_printed_beside_the_bad_ones(
    told: Any, capsys: pytest.CaptureFixture[str], harness: Harness
) -> None:
    command = f"llamafactory-cli train --do_train --model_name_or_path {TINY} --template qwen --dataset a"
    Path("x.sh").write_text(f"{command} --lora_rank 2\n{command} --lora_rnk 3\n{command} --lora_rank 4\n")
    with pytest.raises(UserError) as raised:
        told("x.sh")
    assert raised.value.mistakes == [
        "2 of 3, line 2: lora_rnk: LLaMA-Factory has no such training argument; did you mean lora_rank?"
    ]
    found = Told(capsys.readouterr().out)
    assert [next(text for text in each if "rank" in text) for each in found.commands] == [
        "method.rank=2",
        "method.rank=4",
    ]
    assert harness("import", "x.sh").returncode == 2


def test_a_file_takes_the_changes_that_stand_behind_it(told: Any) -> None:
    found = told(file("x.yaml", learning_rate=1e-4), "learning_rate=2e-4", "lora_target=q_proj,v_proj")
    assert {"training.learning_rate=0.0002", "method.target='q_proj,v_proj'", "sweep=x"} <= set(found.overrides)
    with pytest.raises(UserError) as raised:
        told("x.yaml", "--lora_rank", "8", "word")
    assert raised.value.mistakes == [
        "--lora_rank: behind a file LLaMA-Factory takes KEY=VALUE; give lora_rank=VALUE",
        "word: stands alone; an argument is KEY=VALUE behind a file, and a value with blanks stands in quotes",
    ]


def test_several_files_are_imported_together(told: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file("lora.yaml")
    file("qlora.yaml", quantization_bit=4)
    Path("x.sh").write_text("llamafactory-cli train lora.yaml\n")
    lora, qlora = told("lora.yaml", "lora_rank=4", "qlora.yaml").commands
    assert {"sweep=imported", "method=lora", "method.rank=4"} <= set(lora)
    assert {"sweep=imported", "method=qlora"} <= set(qlora)
    assert "method.rank=4" not in qlora
    found = told("lora.yaml", "x.sh")
    assert "# x.sh: 1 of 1, line 1" in found.printed
    assert len(found.commands) == 2
    with pytest.raises(UserError) as raised:
        told("gone.yaml", "lora.yaml", "x.sh", "lora_rank=2")
    assert raised.value.mistakes == [
        "gone.yaml: No such file or directory",
        "x.sh: lora_rank: stands behind x.sh, which is no YAML or JSON; leave it out",
    ]
    assert len(Told(capsys.readouterr().out).commands) == 1


def test_a_document_of_training_files_alone_is_imported(told: Any) -> None:
    Path("how.md").write_text(TUTORIAL.partition("```bash")[0].format(model=TINY))
    lora, qlora = told("how.md").commands
    assert {"sweep=how", "method=lora"} <= set(lora)
    assert {"sweep=how", "method=qlora"} <= set(qlora)


def test_a_notebook_writes_its_training_file_and_trains_with_it(told: Any) -> None:
    content = yaml.safe_dump({**LEAST, "lora_rank": 4})
    sources = [f"%%writefile train.yaml\n{content}", "import os\n", "!llamafactory-cli train train.yaml"]
    cells = [{"cell_type": "code", "source": text.splitlines(keepends=True)} for text in sources]
    Path("x.ipynb").write_text(json.dumps({"cells": cells}, indent=1))
    assert {"method.rank=4", "sweep=x"} <= set(told("x.ipynb").overrides)


def test_what_is_nested_too_deep_is_told(told: Any) -> None:
    depths = {"x.ipynb": '{"cells": ' + "[" * 100_000, "x.yaml": "{a: " * 3000, "x.json": "[" * 100_000}
    for name, content in depths.items():
        Path(name).write_text(content)
        with pytest.raises(UserError, match=r"is nested too deep|holds no training"):
            told(name)


def test_a_repository_that_is_asked_for_is_no_missing_path(told: Any) -> None:
    Path("data/dataset_info.json").write_text(json.dumps({"m": {"ms_hub_url": "owner/rows"}}))
    found = told(file("x.yaml", dataset="m"))
    assert any(
        "dataset.repository=owner/rows dataset.file=FILE model.hub=modelscope" in line for line in found.left_out
    )
    assert "`harness run` would refuse it here, as it stands" not in found.sections


def test_a_broken_dataset_info_hides_no_other_training(told: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other").mkdir()
    Path("other/dataset_info.json").write_text("[]")
    file("x.yaml")
    Path("x.sh").write_text("lmf train x.yaml dataset_dir=other\nlmf train x.yaml\n")
    with pytest.raises(UserError, match=r'is no mapping; dataset_info\.json has `\{"NAME"'):
        told("x.sh")
    assert len(Told(capsys.readouterr().out).commands) == 1


def test_two_trainings_of_one_arm_are_two_sweeps(told: Any) -> None:
    command = f"llamafactory-cli train --do_train --model_name_or_path {TINY} --template qwen --dataset a"
    Path("rates.sh").write_text(f"{command} --learning_rate 1e-4\n{command} --learning_rate 2e-4\n")
    first, second = told("rates.sh").commands
    assert "sweep=rates-1" in first
    assert "sweep=rates-2" in second


def test_all_mistakes_of_all_trainings_are_told_with_their_lines(told: Any) -> None:
    Path("x.sh").write_text("llamafactory-cli train --lora_rnk 8 --bf16 maybe\n\nllamafactory-cli train gone.yaml\n")
    with pytest.raises(UserError) as raised:
        told("x.sh")
    first, second, third = raised.value.mistakes
    assert first == "1 of 2, line 1: --bf16 maybe: true or false is needed"
    assert second.startswith("1 of 2, line 1: lora_rnk: LLaMA-Factory has no such training argument")
    assert third == "2 of 2, line 3: gone.yaml: is not here, and nothing shows it; import it where it lies"


@pytest.mark.parametrize("text", ["", "just words\n", "pip install x\n", "a: 1\n"])
def test_a_text_without_a_training_is_told(text: str, told: Any) -> None:
    Path("x.txt").write_text(text)
    with pytest.raises(UserError, match=r"x\.txt: holds no training of LLaMA-Factory's"):
        told("x.txt")


def test_a_training_file_is_taken_from_the_input_too(told: Any) -> None:
    assert "training.learning_rate=0.0001" in told("-", stdin="learning_rate: 1e-4\ndataset: a\n").overrides


def test_what_a_file_names_beside_itself_is_found_from_where_the_harness_is_started(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = tmp_path / "saves" / "first"
    adapter.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    name = Path(file("x.yaml", adapter_name_or_path="saves/first")).resolve()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert f"llamafactory.adapter_name_or_path={adapter}" in told(str(name)).overrides
