"""What SwanLab refuses is told before anything starts, by the rules of the SwanLab that is installed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.tracking.names import PROJECT, WORKSPACE, is_experiment
from tests.compose.checked import mistakes, only

REPOSITORY = Path(__file__).parents[2]
LETTERS = "abzAZ019_-+. /\\:@é我Ａ😀\u0130\n\t\x00\u2028\ud800"


def asked_in_python(program: str, given: object, **variables: str) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SWANLAB")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(REPOSITORY)} | variables,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_names_that_are_taken_are_those_that_swanlab_takes() -> None:
    """Random ones, near the bounds and of letters that rules mistake for others."""
    drawn = random.Random(4711)
    lengths = [*range(5), 24, 25, 26, 99, 100, 101, 511, 512, 513]
    names = [
        "".join(drawn.choice(letters) for _ in range(drawn.choice(lengths)))
        for letters in ("abzAZ019_-", "abzAZ019_-+.", LETTERS)
        for _ in range(300)
    ]
    names += [f"harness{letter}" for letter in LETTERS] + list(LETTERS)
    program = """
import json, sys
from pydantic import ValidationError
from swanlab.sdk.internal.pkg import constraints
def takes(adapter, name):
    try:
        adapter.validate_python(name)
    except ValidationError:
        return False
    return True
rules = constraints.ta_project, constraints.ta_workspace, constraints.ta_experiment
print(json.dumps([[takes(rule, name) for rule in rules] for name in json.load(sys.stdin)]))
"""
    ours = [
        [PROJECT.fullmatch(name) is not None, WORKSPACE.fullmatch(name) is not None, is_experiment(name)]
        for name in names
    ]
    assert ours == asked_in_python(program, names)
    assert {answer for answers in ours for answer in answers} == {True, False}


NETRC = "machine https://api.swanlab.cn\n\tlogin https://swanlab.cn\n\tpassword key4711\n"
OWN = "machine http://10.0.0.1:8000/api\n\tlogin http://10.0.0.1:8000\n\tpassword key4711\n"
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "nothing": ({}, {}),
    "a variable": ({"SWANLAB_API_KEY": "given"}, {}),
    "a variable in small letters": ({"swanlab_api_key": "given"}, {}),
    "a variable in quotes": ({"SWANLAB_API_KEY": "'given'"}, {}),
    "an empty variable before a stored key": ({"SWANLAB_API_KEY": ""}, {"home/.swanlab/.netrc": NETRC}),
    "an own server": ({"SWANLAB_API_KEY": "given", "SWANLAB_API_HOST": "10.0.0.1:8000"}, {}),
    "a stored key": ({}, {"home/.swanlab/.netrc": NETRC}),
    "the working folder's": ({}, {"home/.swanlab/.netrc": NETRC, "work/.swanlab/.netrc": OWN}),
    "a stored key of an own server": ({}, {"home/.swanlab/.netrc": OWN}),
    "a stored key of the server that is asked": (
        {"SWANLAB_API_HOST": "http://10.0.0.1:8000/"},
        {"home/.swanlab/.netrc": OWN},
    ),
    "a stored key of another server": ({"SWANLAB_API_HOST": "http://10.0.0.1:8000"}, {"home/.swanlab/.netrc": NETRC}),
    "a damaged file": ({}, {"home/.swanlab/.netrc": "machine only half"}),
    "a damaged file before another": (
        {},
        {"work/.swanlab/.netrc": "machine only half", "home/.swanlab/.netrc": NETRC},
    ),
    "another folder": ({"SWANLAB_ROOT": "{root}/own"}, {"home/.swanlab/.netrc": "", "own/.netrc": NETRC}),
    "an older name of it": ({"SWANLAB_SAVE_DIR": "{root}/own"}, {"own/.netrc": NETRC}),
    ".env": ({}, {"work/.env": "SWANLAB_API_KEY=given\n"}),
    "a file beside": ({}, {"work/swanlab.yaml": "api_key: given\napi_host: http://10.0.0.1:8000\n"}),
    "a file in .swanlab": ({}, {"work/.swanlab/config.yaml": "api_key: given\n"}),
    "a user's file": ({}, {"home/.swanlab/config.yml": "api_key: given\n"}),
    "the machine's file": ({}, {"etc/swanlab.yaml": "api_key: given\n"}),
    "a secret": ({}, {"secrets/swanlab_api_key": "given"}),
    "a secret without a prefix": ({}, {"secrets/API_KEY": "given\n"}),
    "a secret that is empty": ({}, {"secrets/api_key": "", "home/.swanlab/.netrc": NETRC}),
    "a comment about a key": ({}, {"work/swanlab.yaml": "# api_key: yours\nlog_dir: here\n"}),
    "a key of something else": ({}, {"work/.env": "OPENAI_API_KEY=given\n", "home/.swanlab/.netrc": NETRC}),
    "a comment in .env": ({}, {"work/.env": "# SWANLAB_API_KEY=given\n"}),
    "an exported key in .env": ({}, {"work/.env": "export SWANLAB_API_KEY='given'\nSWANLAB_API_HOST=10.0.0.1:8000\n"}),
    "a name without a value in .env": ({}, {"work/.env": "SWANLAB_API_KEY\n"}),
    "a key below another name": ({}, {"work/swanlab.yaml": "integration:\n  api_key: given\n"}),
    "a key in capitals": ({}, {"work/swanlab.yaml": "API_KEY: given\n"}),
    "a key that is null": ({"SWANLAB_API_KEY": "given"}, {"work/swanlab.yaml": "api_key: null\n"}),
    "a key that is empty": ({}, {"work/swanlab.yaml": "api_key: ''\n", "home/.swanlab/.netrc": NETRC}),
    "a variable and a file's server": (
        {"SWANLAB_API_KEY": "given"},
        {"work/swanlab.yml": "api_host: http://10.0.0.1:8000\n"},
    ),
    "a file's server before a variable's": (
        {"SWANLAB_API_KEY": "given", "SWANLAB_API_HOST": "10.0.0.2"},
        {"work/swanlab.yaml": "api_host: HTTP://Ten.Example:8000/api\n"},
    ),
    "a variable's server before a user's file's": (
        {"SWANLAB_API_HOST": "10.0.0.2"},
        {"home/.swanlab/config.yaml": "api_key: given\napi_host: 10.0.0.1\n"},
    ),
    "a stored key and a file's server": (
        {},
        {"work/swanlab.yaml": "api_host: 10.0.0.1\n", "home/.swanlab/.netrc": NETRC},
    ),
    "the machine's last file": (
        {},
        {"etc/a.yaml": "api_key: a\napi_host: 10.0.0.1\n", "etc/b.yml": "api_key: b\napi_host: 10.0.0.2\n"},
    ),
    "half a pair of quotes": ({"SWANLAB_API_KEY": '"\'"', "SWANLAB_API_HOST": "'10.0.0.1'"}, {}),
    "quotes around nothing": ({"SWANLAB_API_KEY": "''"}, {"home/.swanlab/.netrc": NETRC}),
    "blanks": ({"SWANLAB_API_KEY": "  "}, {}),
    "the official server without s": ({"SWANLAB_API_KEY": "given", "SWANLAB_API_HOST": "http://api.swanlab.cn"}, {}),
    "a stored key without a login": (
        {},
        {"home/.swanlab/.netrc": "machine https://api.swanlab.cn\n\tpassword key4711\n"},
    ),
    "a stored key that is empty": ({}, {"home/.swanlab/.netrc": ""}),
    "another kind of file in .swanlab": ({}, {"home/.swanlab/config.yxml": "api_key: given\n"}),
    "other settings": ({}, {"work/swanlab.yaml": "log_dir: here\n", "secrets/else": "x"}),
}


def test_a_key_is_found_where_swanlab_finds_one(tmp_path: Path) -> None:
    """Each case in a process of its own, forked where SwanLab has been imported."""
    program = """
import json, os, pathlib, sys
from swanlab.sdk.internal.settings import create_settings
from harness.tracking import account
told = {}
for number, (name, (variables, files)) in enumerate(json.load(sys.stdin).items()):
    read, write = os.pipe()
    if os.fork() == 0:
        root = pathlib.Path(os.environ["ROOT"])
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        os.chdir(root / "work")
        os.environ.update({key: value.format(root=root) for key, value in variables.items()})
        settings = create_settings()
        found = account.find(os.environ, root / "work", root / "home")
        theirs = [settings.api_key, settings.api_host] if settings.api_key else None
        ours = [found.asked] if found and found.is_given else None
        os.write(write, json.dumps([theirs, ours]).encode())
        for path in files:
            (root / path).unlink()
        os._exit(0)
    os.close(write)
    told[name] = json.loads(os.read(read, 10000))
    os.wait()
print(json.dumps(told))
"""
    for folder in ("home", "work", "etc", "secrets"):
        (tmp_path / folder).mkdir()
    told = asked_in_python(
        program,
        CASES,
        ROOT=str(tmp_path),
        HOME=str(tmp_path / "home"),
        SWANLAB_CONFIG_DIR=str(tmp_path / "etc"),
        SWANLAB_SECRETS_DIR=str(tmp_path / "secrets"),
    )
    assert told.keys() == CASES.keys()
    for case, (theirs, ours) in told.items():
        assert ours == (theirs and theirs[1:]), case
    assert told["nothing"] == [None, None]
    assert told["a stored key of an own server"] == [["key4711", "http://10.0.0.1:8000"], ["http://10.0.0.1:8000"]]
    assert told["a stored key of another server"][0] is None


# ---- Before the start ----


@pytest.fixture(autouse=True)
def nobody_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, without an account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("SWANLAB")]:
        monkeypatch.delenv(name)


def test_every_name_that_swanlab_refuses_is_told_at_once_with_what_it_takes() -> None:
    told = mistakes(
        "tracking.project=我的项目", "tracking.workspace='a b'", f"tracking.experiment='{'x' * 500}{{arm}}123456789'"
    )
    assert [mistake.partition("=")[0] for mistake in told] == [
        "tracking.project",
        "tracking.workspace",
        "tracking.experiment",
    ]
    assert told[0] == (
        "tracking.project=我的项目: SwanLab takes 1 to 100 letters (a-z, A-Z), digits, and _ - + . there; "
        "tracking.experiment may be any text"
    )
    assert "512 characters there, and this comes to 513" in told[2]


def test_a_name_of_commas_blanks_and_chinese_is_a_run_s() -> None:
    assert only("tracking.experiment='实验 1, lr=1e-4'").tracking.experiment == "实验 1, lr=1e-4"


def test_without_tracking_its_names_are_nobody_s_business() -> None:
    only("tracking=disabled", "tracking.project=我的项目")


def test_without_a_key_the_cloud_is_refused_with_the_ways_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mistake,) = mistakes("tracking=cloud")
    assert mistake.startswith("tracking.mode=cloud: SwanLab finds no key of an account; export SWANLAB_API_KEY=KEY, or")
    assert only("tracking=cloud", "dry_run=true").tracking.mode == "cloud"
    assert only("tracking=offline").tracking.mode == "offline"
    monkeypatch.setenv("SWANLAB_API_KEY", "given")
    assert only("tracking=cloud").tracking.mode == "cloud"


def test_a_stored_key_of_another_server_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / ".swanlab").mkdir(parents=True)
    (tmp_path / "home" / ".swanlab" / ".netrc").write_text(NETRC)
    only("tracking=cloud")
    monkeypatch.setenv("SWANLAB_API_HOST", "http://10.0.0.1:8000")
    (mistake,) = mistakes("tracking=cloud")
    assert "is for https://api.swanlab.cn, and SWANLAB_API_HOST names http://10.0.0.1:8000" in mistake
    assert "`swanlab login --host http://10.0.0.1:8000`" in mistake
    assert "key4711" not in mistake


def test_another_machine_of_the_run_needs_no_key() -> None:
    nodes = ("launch=nodes", "launch.nnodes=2", "launch.master_addr=10.0.0.1", "launch.master_port=29500")
    only("tracking=cloud", *nodes, "launch.node_rank=1")


def test_a_file_where_swanlab_s_folder_has_to_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "outputs" / "single").mkdir(parents=True)
    (tmp_path / "outputs" / "single" / "swanlog").write_text("")
    (mistake,) = mistakes()
    assert mistake.startswith("tracking.mode=local: SwanLab cannot write there: ")
    assert "swanlog is no folder; move it away, or tracking=disabled" in mistake
    only("tracking=disabled")
