"""Chat, API server and web page: on the model that was scored, and ended as a user ends them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio_client
import openai
import pytest

from harness.base.errors import UserError
from harness.devices.device import AbsentError, Device, DeviceError, DeviceRequest, choose
from harness.runs.record import Answer
from harness.serving import chat
from tests.conftest import SECRET, command, environment
from tests.serving.conftest import TINY, Merged, Runs, recorded_answers

GREEDY = ("--temperature", "0", "--max-new-tokens", "40")
QUESTIONS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(answers: list[Answer]) -> str:
    """What is typed to put each question to a model that has heard nothing before it."""
    return "".join(f"{answer.question}\nclear\n" for answer in answers)


def heard(output: str) -> list[str]:
    """The answers in the output of a chat."""
    return [part.strip() for part in re.findall(r"Assistant: (.*?)\n\nUser: ", output, re.DOTALL)]


def test_the_chat_is_with_what_was_scored(runs: Runs, cache: Path) -> None:
    """The same answers as when it was scored mean the same weights and template; that the weights are quantized,
    LLaMA-Factory says itself where it is let chat."""
    recorded = {"adapter": runs.qlora / "evaluation", "base": runs.base}
    chats = {
        target: subprocess.Popen(
            command("chat", str(runs.qlora), "--target", target, *GREEDY),
            env=environment(cache) | {"LLAMAFACTORY_VERBOSITY": "INFO"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for target in recorded
    }
    for target, folder in recorded.items():
        answers = recorded_answers(folder)[:QUESTIONS]
        output, errors = chats[target].communicate(ask(answers), timeout=120)
        assert chats[target].returncode == 0, errors
        assert "Traceback" not in errors
        assert heard(output) == [answer.answer for answer in answers]
        assert ("Quantizing model to 4 bit with bitsandbytes" in output) is (target == "adapter")


def test_in_a_terminal_the_merged_model_answers_and_ctrl_c_ends_the_chat(merged: Merged, cache: Path) -> None:
    arguments = command("chat", str(merged.run), "--target", "merged", *GREEDY)
    terminal, inner = pty.openpty()
    process = subprocess.Popen(
        arguments, env=environment(cache), stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    )
    os.close(inner)
    try:
        read_until(terminal, "User: ")
        os.write(terminal, b"What is 3 + 4?\n")
        answer = read_until(terminal, "User: ")
        # Python shows the prompt before it waits for keys, and an interrupt between the two waits for a key too.
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        rest = read_until(terminal, None)
        assert process.wait(30) == 130
    finally:
        process.kill()
        os.close(terminal)
    assert "####" in answer.partition("Assistant: ")[2]
    assert "Traceback" not in rest


def read_until(terminal: int, words: str | None, seconds: float = 90) -> str:
    """What is shown up to `words`; None: up to the end."""
    shown, deadline = "", time.monotonic() + seconds
    while words is None or words not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # Linux: the other end is closed
                part = b""
            if not part:
                break
            shown += part.decode(errors="replace")
    return shown


@pytest.fixture(scope="module")
def servers(runs: Runs, cache: Path) -> Iterator[dict[str, tuple[subprocess.Popen[str], int]]]:
    """API server and web page of the QLoRA run, started side by side."""
    started = {}
    for verb in ("serve", "webchat"):
        port = free_port()
        process = subprocess.Popen(
            command(verb, str(runs.qlora), "--port", str(port)),
            env=environment(cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started[verb] = process, port
    yield started
    for process, _ in started.values():
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], port: int, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.1)


def interrupted(process: subprocess.Popen[str]) -> str:
    """All that it wrote, after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=30)[0]


def test_the_server_answers_a_client_of_openai_as_the_run_was_scored(
    servers: dict[str, tuple[subprocess.Popen[str], int]], runs: Runs
) -> None:
    process, port = servers["serve"]
    wait_for(process, port)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    (model,) = client.models.list().data
    assert model.id == runs.qlora.name
    for recorded in recorded_answers(runs.qlora / "evaluation")[:QUESTIONS]:
        completion = client.chat.completions.create(
            model=model.id, messages=[{"role": "user", "content": recorded.question}], temperature=0, max_tokens=40
        )
        assert completion.choices[0].message.content == recorded.answer
    output = interrupted(process)
    assert process.returncode == 0
    assert f"http://127.0.0.1:{port}/v1" in output
    assert "Traceback" not in output


def test_the_web_page_answers_and_leaves_nothing_where_it_was_started(
    servers: dict[str, tuple[subprocess.Popen[str], int]], runs: Runs
) -> None:
    process, port = servers["webchat"]
    wait_for(process, port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
        assert "LLaMA Factory Web Demo" in page.read().decode()
    browser = gradio_client.Client(f"http://127.0.0.1:{port}/", verbose=False)
    assert "'Maximum new tokens'" in str(browser.predict(api_name="/resume"))
    shown, _ = browser.predict([], "user", "What is 3 + 4?", False, api_name="/append")
    # Language, system prompt, tools, picture, film, sound, new tokens, top_p, lowest temperature, and three choices.
    settings = ("en", "", "", None, None, None, 40, 0.7, 0.01, True, False, False)
    shown = browser.predict(shown, *settings, api_name="/stream")
    assert "####" in shown[-1]["content"]
    assert "Traceback" not in interrupted(process)
    assert not Path("llamaboard_cache").exists()
    assert (runs.qlora / "logs" / "llamaboard_cache").is_dir()


def flags(program: chat.ModelProgram) -> dict[str, str]:
    """LLaMA-Factory's arguments."""
    return dict(flag.removeprefix("--").split("=", 1) for flag in program.job.flags)


def test_the_adapter_is_loaded_as_it_was_trained_and_base_and_merged_as_they_are(runs: Runs, merged: Merged) -> None:
    adapter, base, result = (chat.prepare("chat", runs.qlora, target) for target in ("adapter", "base", "merged"))
    assert flags(adapter)["quantization_bit"] == "4"
    assert flags(adapter)["adapter_name_or_path"] == str(runs.qlora / "adapter")
    for program, path in ((base, TINY), (result, merged.folder)):
        assert flags(program)["model_name_or_path"] == str(path)
        assert not {"quantization_bit", "adapter_name_or_path"} & set(flags(program))
    assert {flags(program)["template"] for program in (adapter, base, result)} == {"qwen3_nothink"}
    assert "--template=qwen3_nothink" in adapter.plain_command


def test_no_secret_reaches_the_program_but_the_key_that_it_asks_clients_for(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", SECRET)
    monkeypatch.setenv("API_KEY", "of the server")
    served = chat.serve(runs.lora, "adapter", None, "127.0.0.1", free_port())
    assert SECRET not in served.environment.values()
    assert served.environment["API_KEY"] == "of the server"
    assert "API_KEY" not in chat.prepare("chat", runs.lora, "adapter").environment


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_program_that_the_network_reaches_without_a_key_is_noted(
    host: str, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warns(prepare: Callable[..., chat.ModelProgram]) -> bool:
        port = free_port()
        return f"whoever reaches {host}:{port} may use it" in " ".join(
            prepare(runs.lora, "adapter", None, host, port).notes
        )

    monkeypatch.delenv("API_KEY", raising=False)
    assert warns(chat.serve) is warns(chat.webchat) is (host == "0.0.0.0")
    monkeypatch.setenv("API_KEY", "of the server")
    assert not warns(chat.serve)
    # The page asks for none.
    assert warns(chat.webchat) is (host == "0.0.0.0")


def test_the_devices_of_the_run_are_used_and_no_other(runs: Runs) -> None:
    program = chat.prepare("chat", runs.lora, "adapter")
    assert program.environment["CUDA_VISIBLE_DEVICES"] == ""
    assert program.notes == ()
    assert (program.job.device, program.job.program) == ("cpu", "chat")


BECOME = """
import json, sys
from pathlib import Path
from harness.processes.jobs import ChatJob
from harness.serving.chat import ModelProgram

class Job(ChatJob):
    @classmethod
    def command(cls, file):
        read = "import os, pathlib, sys; print(os.getpid(), os.getcwd(), pathlib.Path(sys.argv[1]).read_text())"
        return [sys.executable, "-c", read, str(file)]

flags = json.loads(sys.argv[2])
ModelProgram(Job(device="cpu", program="api", flags=flags), {"PATH": ""}, Path(sys.argv[1])).become()
"""


def test_the_process_becomes_the_program_whose_job_waits_for_it(tmp_path: Path) -> None:
    # More than a pipe holds.
    given = ["--system=-- 你是谁?\n'\"", "--path=/models with spaces", "--template=" + "x" * 100_000]
    arguments = [sys.executable, "-c", BECOME, str(tmp_path), json.dumps(given)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=60)
    pid, folder, job = output.split(" ", 2)
    assert (process.returncode, int(pid), folder) == (0, process.pid, str(tmp_path))
    assert json.loads(job) == {"device": "cpu", "program": "api", "flags": given}


def test_another_device_takes_the_place_of_one_that_is_not_here_and_that_is_noted(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(kind: str, request: DeviceRequest) -> Device:
        if kind == "auto":
            return choose("cpu", request)
        raise AbsentError("no chip of this kind")

    monkeypatch.setattr("harness.devices.device.choose", elsewhere)
    (note,) = chat.prepare("chat", runs.lora, "adapter").notes
    assert note.startswith("the run's device, cpu, is not here; ")

    def broken(kind: str, request: DeviceRequest) -> Device:
        raise DeviceError("the driver does not answer")

    monkeypatch.setattr("harness.devices.device.choose", broken)
    with pytest.raises(UserError, match="the driver does not answer"):
        chat.prepare("chat", runs.lora, "adapter")


def test_the_process_of_the_harness_loads_no_model_library() -> None:
    code = (
        "import sys, harness.serving.merge, harness.serving.chat; print({'torch', 'transformers'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
