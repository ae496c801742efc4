"""What decides in a log: causes, and what only mentions them. None of it was copied from a real log."""

from __future__ import annotations

import pytest

from harness.processes.symptoms import diagnose, diagnoses, unknown_exception

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
NPU_OOM = (
    "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 28.50 GiB total capacity) If reserved memory "
    "is >> allocated memory try setting max_split_size_mb to avoid fragmentation."
)
UNKNOWN = "KeyError: 'question'"
FULL = "the chip's memory is full"
KILLED = "a process was killed (SIGKILL)"
CAUSED = "\nThe above exception was the direct cause of the following exception:\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n"
LAUNCHER = """\
Traceback (most recent call last):
  File "/x/bin/torchrun", line 8, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
[1]:
  rank      : 1 (local_rank: 1)
  exitcode  : {others} (pid: 72)
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  rank      : 0 (local_rank: 0)
  exitcode  : {first} (pid: 71)
  traceback : {why}
============================================================
subprocess.CalledProcessError: Command '['torchrun', '--nproc_per_node', '2']' returned non-zero exit status 1.
"""
EXITED = LAUNCHER.format(first=1, others=-9, why="To enable traceback see: https://pytorch.org/docs")
GLOO = "RuntimeError: [/x/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4711"
NCCL = (
    "torch.distributed.DistBackendError: NCCL error in: x.cpp:1331, remote process exited or there was a network error"
)
LATE = """\
[W NPUStream.cpp:365] Warning: NPU warning, error code is 507046[Error]: .
[Error]: In the specified timeout waiting event, all tasks in the specified stream are not completed.
        Rectify the fault based on the error information in the ascend log.
EE1002: 2026-01-01-10:00:00.000.000 Stream synchronize timeout.
"""


def raised(*messages: str, before: str = "") -> str:
    """A traceback, each line behind `before`."""
    lines = ["Traceback (most recent call last):", '  File "/x/train.py", line 3, in step', "    run()", "    ^^^^^"]
    return "".join(f"{before}{line}\n" for line in (*lines, *"\n".join(messages).split("\n")))


REPORTED = {
    # What people reported, in small: what the log says, and what that means.
    "bnb": (
        raised("AttributeError: 'NoneType' object has no attribute 'cquantize_blockwise_fp16_nf4'"),
        "bitsandbytes",
    ),
    "dropped": (
        raised("RuntimeError: Cannot find valid samples, check `data/README.md` for the data format."),
        "no row",
    ),
    "hccl": (
        raised(
            "RuntimeError: InnerRunOpApi:x/OpParamMaker.cpp:1 OPS function error: HcclAllreduce, error code is 6",
            "[ERROR] 2026-01-01-10:00:00 (PID:7, Device:1, RankID:1) ERR01100 OPS call acl api failed.",
            "EI0006: [PID: 7] 2026-01-01-10:00:00.000.000 Getting socket times out. Reason: Remote Rank was silent.",
            before="[rank1]: ",
        ),
        "HCCL's connection to another rank",
    ),
    "killed": (LAUNCHER.format(first=-9, others=-15, why="Signal 9 (SIGKILL) received by PID 71"), KILLED),
    "lfs": (
        raised("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"),
        "is not whole",
    ),
    "nccl": (raised(f"{NCCL}, NCCL version 2.19.3"), "NCCL could not connect"),
    "rendezvous": (
        raised("torch.distributed.DistStoreError: Timed out after 61 seconds waiting for clients. 1/2 clients joined."),
        "did not all meet in time",
    ),
    "vocabulary": (
        raised(
            "RuntimeError: Error(s) in loading state_dict for PeftModelForCausalLM:",
            "\tsize mismatch for base_model.model.lm_head.modules_to_save.default.weight: copying a param with shape "
            "torch.Size([128320, 64]) from checkpoint, the shape in current model is torch.Size([128256, 64]).",
        ),
        "the vocabulary has another size",
    ),
    "another base": (
        raised(
            "RuntimeError: Error(s) in loading state_dict for PeftModelForCausalLM:",
            "\tsize mismatch for base_model.model.model.embed_tokens.modules_to_save.default.weight: copying a param "
            "with shape torch.Size([32000, 64]) from checkpoint, the shape in current model is torch.Size([5025, 32]).",
            "\tsize mismatch for base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight: copying a param "
            "with shape torch.Size([8, 64]) from checkpoint, the shape in current model is torch.Size([8, 32]).",
        ),
        "adapter and base do not fit each other",
    ),
    "stream": (
        raised(
            "RuntimeError: npuSynchronizeDevice:x/NPUStream.cpp:1 NPU function error: y, error code is 507046",
            "[ERROR] 2026-01-01-10:00:00 (PID:7, Device:7, RankID:7) ERR00100 PTA call acl api failed",
            "EE1002: 2026-01-01-10:00:00.000.000 Stream synchronize timeout. reason=[stream sync timeout]",
            "        Solution: 1. Check whether the timeout interval is properly set.",
        ),
        "the chip was not done within the time limit",
    ),
    "memory at the driver": (
        raised(
            "RuntimeError: ACL stream synchronize failed.",
            "EL0004: 2026-01-01-10:00:00.000.000 Failed to allocate memory.",
            "        Solution: Close applications not in use.",
            "        TraceBack (most recent call last):",
            "        synchronize stream failed, runtime result = 107020[FUNC:ReportCallError]",
        ),
        "the driver has no memory of the chip left",
    ),
    "memory at the driver, no device": (
        "[ERROR] aclrtSetDevice(0) failed: 507033 (/x/main.cpp:72)\n"
        "[ERROR] RecentErrMsg: [PID: 7] Memory_Allocation_Failure(EL0004): Failed to allocate memory.\n",
        "the driver has no memory of the chip left",
    ),
    "operator": (
        raised(
            "RuntimeError: npuSynchronizeDevice:x/NPUStream.cpp:1 NPU function error: y, error code is 507015",
            "[Error]: The aicore execution is abnormal.",
            "EZ9999: [PID: 7] The error from device(chipId:7, dieId:0), there is an exception of aivec error, core 3",
        ),
        "an operator failed on the chip",
    ),
    "operator, told before": (
        "EZ9999: Inner Error!\nEZ9999  Kernel task happen error, retCode=0x26, [aicore exception].\n"
        + raised("RuntimeError: The Inner error is reported as above.\n Since the operator is called asynchronously"),
        "an operator failed on the chip",
    ),
    "no shared memory for NCCL": (
        raised(f"{NCCL}\nLast error:\nError while creating shared memory segment /dev/shm/nccl-a (size 9)"),
        "/dev/shm is too small for NCCL",
    ),
    "a warning, then HCCL": (
        "[W x.cpp:51] Warning: CAUTION: The operator 'aten::isin' is not currently supported on the NPU backend and "
        "will fall back to run on the CPU.\nEI0006: 2026-01-01-10:00:00.000.000 Getting socket times out. Reason: x\n",
        "HCCL's connection to another rank",
    ),
    "warnings of torch-npu's alone": (LATE, "the chip was not done within the time limit"),
    "NCCL's watchdog": (
        "[rank0]:[E101 10:00:00.000000000 ProcessGroupNCCL.cpp:607] [Rank 0] Watchdog caught collective operation "
        "timeout\nterminate called after throwing an instance of 'c10::DistBackendError'\n"
        "  what():  [PG 1 Rank 0] NCCL watchdog thread terminated with exception\nAborted (core dumped)\n",
        "a rank waited too long",
    ),
    "a long line": ("x" * 500 + " RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB\n", FULL),
}


@pytest.mark.parametrize(("log", "cause"), REPORTED.values(), ids=REPORTED.keys())
def test_what_people_reported_is_known(log: str, cause: str) -> None:
    found = diagnose(log)
    assert found is not None
    assert cause in found.cause
    first = diagnoses(log)[0]
    assert (first.line, first.cause, first.fix) == (found.line, found.cause, found.fix)
    assert first.decisive


def test_of_a_long_line_that_part_is_shown_which_told_it() -> None:
    assert diagnoses(REPORTED["a long line"][0])[0].line.startswith("NPU out of memory")


TIPS = {
    "logged as information": "2026-01-01 INFO tips: if you meet CUDA out of memory, lower the batch size",
    "of LLaMA-Factory's": "[INFO|2026-01-01 10:00:00] llamafactory.x:9 >> retried after CUDA out of memory",
    "of logging's": "2026-01-01 10:00:00,123 - WARNING - x - CUDA out of memory may follow",
    "of loguru's": "2026-01-01 10:00:00.123 | WARNING  | x:y:1 - CUDA out of memory may follow",
    "of glog's": "W0101 10:00:00.000000 7 x.py:1] CUDA out of memory may follow",
    "of torch's": "[rank0]:[W101 10:00:00.000000000 x.cpp:1] CUDA out of memory may follow",
    "a warning of Python's": "/x/y.py:34: UserWarning: CUDA out of memory may follow\n  warn('CUDA out of memory')",
    "of NCCL's": "node:7:7 [0] NCCL INFO after CUDA out of memory",
    "printed": "Tip: CUDA out of memory? Lower the batch size.",
    "a list": "Hints:\n  - CUDA out of memory: lower the batch size\n  - NCCL error: set NCCL_P2P_DISABLE=1",
    "a condition": "Lower the batch size in case of CUDA out of memory",
    "in Chinese": "提示：遇到 CUDA out of memory 时请减小批量",
    "a condition in Chinese": "如果 CUDA out of memory，请减小批量",
    "a command": "+ grep -c 'CUDA out of memory' train.log",
    "a comment": "# CUDA out of memory: batch_size 1",
    "a step's figures": "{'loss': 1.0, 'note': 'CUDA out of memory'}",
    "with its answer": "CUDA out of memory: reduce the batch size",
    "with an arrow": "Address already in use -> change MASTER_PORT",
    "as an exception": "torch.OutOfMemoryError: lower the batch size",
    "a question": "Too many open files? ulimit -n 65535",
    "asterisks": "* CUDA out of memory: reduce per_device_train_batch_size\n* EI0006: look at the other rank",
    "bullets": "• No space left on device\n• NCCL error",
    "dashes": "- CUDA error: out of memory\n- RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "numbers": "1. CUDA out of memory -> reduce the batch size\n2) exit code 137\n(3) Killed",
    "Chinese numbers": "一、CUDA error: out of memory\n2、NCCL error\n（3）EI0006",
    "a table": "| CUDA out of memory | smaller batch |\n|---|---|\n| exit code 137 | more memory |",
    "a table without lines": "CUDA error: out of memory    reduce the batch\nexit code 137\t\tmore memory for the host",
    "a FAQ": "Q1: CUDA error: out of memory\nA: a smaller batch\nTroubleshooting: exit code 137",
    "a FAQ in Chinese": "常见问题：显存不足 CUDA out of memory，减小批量\n问：CUDA error: out of memory\n答：减小批量",
    "prose": "The most common error is CUDA error: out of memory\nA full host may end in exit code 137",
    "prose in Chinese": "显存不足时会出现 CUDA error: out of memory\nexit code 137 表示主机内存不足",
    "a row": "training example:\ninput_ids:\n[1, 2]\ninputs:\nUser: why\nCUDA error: out of memory\nTraceback (most "
    "recent call last):\nOSError: [Errno 28] No space left on device\nKilled\nlabel_ids:\n[-100, 2]\nlabels:\nEI0006: "
    "x\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device\nKilled",
    "two rows": "training example:\nchosen_input_ids:\n[1]\nchosen_inputs:\nx\nKilled\nchosen_label_ids:\n[1]\n"
    "chosen_labels:\nKilled\nrejected_input_ids:\n[1]\nrejected_inputs:\nx\nexit code 137\nrejected_label_ids:\n[1]\n"
    "rejected_labels:\nexit code 137",
    "a row of pretraining": "training example:\ninput_ids:\n[1]\ninputs:\nCUDA error: out of memory\nKilled\n"
    "[INFO|2026-01-01 10:00:00] x:9 >> on",
}


@pytest.mark.parametrize("tip", TIPS.values(), ids=TIPS.keys())
def test_a_tip_is_no_cause(tip: str) -> None:
    assert diagnoses(f"{tip}\n") == []
    for log in (f"{tip}\n{raised(UNKNOWN)}", f"{raised(UNKNOWN)}{tip}\n"):
        assert diagnose(log) is None
        assert diagnoses(log) == []
        assert unknown_exception(log) == UNKNOWN
    for log in (f"{tip}\n{raised(GLOO)}", f"{raised(GLOO)}{tip}\n"):
        assert [told.cause for told in diagnoses(log)] == [
            "another process of the run ended, and this one lost the connection to it"
        ]


DECIDED = {
    "a tip in the exception's own message": (raised(NPU_OOM), FULL),
    "an exception that was caught before": (f"{raised(OOM)}again with batch size 1\n{raised(UNKNOWN)}", None),
    "a known one after an unknown": (f"{raised(UNKNOWN)}on we go\n{raised(OOM)}", FULL),
    "the code of a traceback": (raised(UNKNOWN).replace("run()", 'raise OSError("No space left on device")'), None),
    "a direct cause": (raised(OOM) + CAUSED + raised("RuntimeError: Failed to load model."), FULL),
    "a cause's cause": (raised(OOM) + CAUSED + raised("OSError: x") + CAUSED + raised("ValueError: y"), FULL),
    "failed while handling": (raised(OOM) + CONTEXT + raised(UNKNOWN), FULL),
    "failed while handling what failed while handling": (
        raised(OOM) + CONTEXT + raised("OSError: x") + CAUSED + raised(UNKNOWN),
        FULL,
    ),
    "known while handling": (raised(UNKNOWN) + CONTEXT + raised(OOM), FULL),
    "a destructor's": (f"{raised(OOM)}Exception ignored in: <function x.__del__>\n{raised(UNKNOWN)}", FULL),
    "a thread's": (f"{raised(UNKNOWN)}Exception in thread Thread-1:\n{raised(OOM)}{CONTEXT}{raised(OOM)}", None),
    "a thread's alone": (f"Exception in thread Thread-1:\n{raised(OOM)}", FULL),
    "a tracker's words": (
        f"{raised(UNKNOWN)}swanlab: Error: HTTPSConnectionPool(host='api.swanlab.cn', port=443)\n",
        None,
    ),
    "warnings at the exit": (f"{raised(UNKNOWN)}{LATE}", None),
    "killed at the end": (f"{raised(UNKNOWN)}[INFO] on\nKilled\n", KILLED),
    "interrupted": (f"{raised(OOM)}{raised('KeyboardInterrupt')}", FULL),
    "the launcher's": (raised(OOM) + EXITED, FULL),
    "the launcher's after an unknown": (raised(UNKNOWN) + EXITED, None),
    "the launcher's alone": (EXITED, None),
    "ranks, the other's too": (raised(UNKNOWN, before="[rank0]: ") + raised(NCCL, before="[rank1]: ") + EXITED, None),
    "ranks, the first with a known cause": (
        raised(UNKNOWN, before="[rank0]: ") + raised(OOM, before="[rank1]: ") + EXITED,
        FULL,
    ),
    "ranks, then what started them": (
        raised(OOM, before="[rank1]: ") + raised("RuntimeError: a worker failed") + EXITED,
        FULL,
    ),
    "numbered by srun": ("".join(f"1: {line}\n" for line in raised(OOM).splitlines()), FULL),
    "ranks, known": (raised(OOM, before="[rank1]: ") + raised(NCCL, before="[rank0]: ") + EXITED, FULL),
    "ranks, line by line": (
        "".join(
            f"[rank0]: {one}\n[rank1]: {other}\n"
            for one, other in zip(raised(NCCL).splitlines(), raised(OOM).splitlines(), strict=True)
        ),
        FULL,
    ),
    "ranks without a name, line by line": (
        "".join(
            f"{one}\n{other}\n" for one, other in zip(raised(OOM).splitlines(), raised(GLOO).splitlines(), strict=True)
        ),
        FULL,
    ),
    "a rank killed, the other bereft": (
        raised(GLOO, before="[rank0]: ")
        + "E0101 10:00:00.000000 7 api.py:869] failed (exitcode: -9) local_rank: 1 (pid: 72)\n"
        + LAUNCHER.format(first=-9, others=1, why="Signal 9 (SIGKILL) received by PID 72"),
        KILLED,
    ),
    "told again without its cause": (
        raised(OOM) + CAUSED + raised("harness.UnsupportedError: no nf4") + "rank 0: UnsupportedError: no nf4\n",
        FULL,
    ),
}


@pytest.mark.parametrize(("log", "cause"), DECIDED.values(), ids=DECIDED.keys())
def test_the_last_exception_decides(log: str, cause: str | None) -> None:
    found = diagnose(log)
    assert (found and found.cause.partition(":")[0]) == cause


BARS = [
    " 44%|████▍     | 35/625 [47:47<13:21:36, 81.52s/it]",
    "Running tokenizer on dataset (num_proc=16):   2%|▏ | 3000/151726 [00:16<10:31, 2351.69 examples/s]",
    "Generating train split: 1000 examples [00:00, 12345.67 examples/s]",
    "Loading weights: 100%|██████████| 12/12 [00:00<00:00, 99.1it/s, Materializing param=lm_head.weight]",
]


@pytest.mark.parametrize("bar", BARS)
def test_a_progress_bar_hides_nothing(bar: str) -> None:
    drawn = "".join(f"\r{bar}" for _ in range(3))
    lines = raised(UNKNOWN).splitlines(keepends=True)
    for log in (
        f"{raised(OOM)}{drawn}{raised(UNKNOWN)}",
        f"{raised(OOM)}{drawn}\n{''.join(lines[:-1])}{drawn}\r{bar}{lines[-1]}",
    ):
        assert unknown_exception(log) == UNKNOWN
        assert [(told.line, told.decisive) for told in diagnoses(log)] == [(OOM, False)]
    (found,) = diagnoses(f"{drawn}{raised(OOM)}")
    assert found.line == OOM
    (found,) = diagnoses(f"{drawn}{bar}{OOM}\r\n")
    assert found.line == OOM
    (found,) = diagnoses(f"{OOM}{bar}\r\n")
    assert found.line.startswith(OOM)


def test_colours_are_not_shown() -> None:
    (found,) = diagnoses(f"\x1b[31m{OOM}\x1b[0m\n")
    assert found.line == OOM


def test_what_did_not_decide_is_marked() -> None:
    told = diagnoses(raised(OOM) + raised("RuntimeError: Cannot find valid samples, check it."))
    assert [one.decisive for one in told] == [True, False]
    assert [one.cause[:6] for one in told] == ["no row", FULL[:6]]


def test_what_goes_wrong_at_the_end_of_a_process_is_not_why_it_ended() -> None:
    for last in ("Error in sys.excepthook:", "Error in atexit._run_exitfuncs:"):
        told = diagnose(raised(OOM) + f"{last}\n" + raised("ValueError: I/O operation on closed file"))
        assert told is not None
        assert told.cause == FULL


def test_torch_npus_note_is_within_its_message() -> None:
    log = raised(
        "RuntimeError: The Inner error is reported as above.",
        "Note: ASCEND_LAUNCH_BLOCKING=1 will force ops to run in synchronous mode.",
        "EI0006: Getting socket times out.",
    )
    told = diagnose(log)
    assert told is not None
    assert told.cause.startswith("HCCL's connection to another rank")


def test_a_port_that_is_taken_is_no_network_that_does_not_answer() -> None:
    words = "Tried to launch distributed communication on port `29500`, but another process is utilizing it."
    told = diagnose(raised(f"ConnectionError: {words}"))
    assert told is not None
    assert told.cause.startswith("the port is taken")


CONSEQUENCES = {
    "a pipe": "EOFError",
    "a peer": "ConnectionResetError: [Errno 104] Connection reset by peer",
    "a broken pipe": "BrokenPipeError: [Errno 32] Broken pipe",
    "a worker of a data loader": "RuntimeError: DataLoader worker (pid(s) 71, 72) exited unexpectedly",
    "a worker that maps": "RuntimeError: One of the subprocesses has abruptly died during map operation.",
    "a tracker": "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='api.swanlab.cn', port=443)",
    "another tracker": "wandb.errors.errors.CommError: The API key is invalid",
}


@pytest.mark.parametrize("consequence", CONSEQUENCES.values(), ids=CONSEQUENCES.keys())
@pytest.mark.parametrize("context", ["", "Process SpawnProcess-2:\n", CONTEXT])
def test_a_consequence_hides_no_exception_before_it(consequence: str, context: str) -> None:
    found = diagnose(raised(OOM) + context + raised(consequence))
    assert found is not None
    assert found.cause == FULL
    log = raised(UNKNOWN) + context + raised(consequence)
    assert diagnose(log) is None
    assert unknown_exception(log) == UNKNOWN


def test_what_a_lost_connection_was_raised_from_hides_nothing_either() -> None:
    log = (
        raised("socket.gaierror: [Errno -2] Name or service not known")
        + CAUSED
        + raised("urllib3.exceptions.NameResolutionError: <x>: Failed to resolve 'api.swanlab.cn'")
        + CAUSED
        + raised("urllib3.exceptions.MaxRetryError: HTTPSConnectionPool(host='api.swanlab.cn', port=443)")
        + CONTEXT
        + raised(CONSEQUENCES["a tracker"])
    )
    assert unknown_exception(raised(UNKNOWN) + log) == UNKNOWN
    (told, _) = diagnoses(raised(OOM) + log)
    assert told.cause == FULL
    assert told.decisive
    (told,) = diagnoses(log)
    assert told.cause.startswith("the server of the experiment tracker")


def test_a_file_that_ends_too_early_is_no_lost_connection() -> None:
    ended = "EOFError: Ran out of input"
    assert unknown_exception(raised(UNKNOWN) + raised(ended)) == ended


def test_beside_an_unknown_exception_stands_what_is_known_in_the_log() -> None:
    log = raised(OOM) + "once more\n" + raised(UNKNOWN)
    assert diagnose(log) is None
    assert unknown_exception(log) == UNKNOWN
    assert [(told.cause, told.decisive) for told in diagnoses(log)] == [(FULL, False)]
    assert unknown_exception(raised(OOM)) is None
    assert unknown_exception("all is well\n") is None


def test_after_a_row_of_data_the_log_is_read_on() -> None:
    for row in ("a row", "two rows", "a row of pretraining"):
        told = diagnose(f"{TIPS[row]}\n[INFO|x.py:1] 2026-01-01 10:00:00,000 >> on\n{raised(OOM)}")
        assert told is not None, row
        assert told.cause == FULL
