"""Becomes LLaMA-Factory's chat, API server or web page, on one device and no other.

Ctrl-C and the end of the input end it without a traceback.
"""

from __future__ import annotations

import signal
import sys
import traceback

from harness.processes.jobs import ChatJob
from harness.processes.symptoms import diagnose
from harness.workers import compat, lifecycle

NO_DEVICE, INTERRUPTED = 2, 130
"""Exit statuses."""


def main(job: ChatJob) -> None:
    """Do what `llamafactory-cli` does with the job's program and flags."""
    # An interrupt in the midst of an import may be taken for a missing library, or be lost in a callback.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with lifecycle.collector_paused():
            compat.prepare_imports()
            from harness.workers import proof

            try:
                proof.require(job.device)
            except proof.NoDeviceError as error:
                print(f"error: {error}", file=sys.stderr)
                raise SystemExit(NO_DEVICE) from None
            compat.patch_bitsandbytes()
            compat.patch_merging()
            from llamafactory import cli
            from llamafactory.chat import chat_model

            if job.program == "webchat":
                compat.label_web_page()
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        chat_model.input = _input
        sys.argv = ["llamafactory-cli", job.program, *job.flags]
        cli.main()
    except KeyboardInterrupt:
        print()
        raise SystemExit(INTERRUPTED) from None
    except Exception:
        text = traceback.format_exc()
        print(text, file=sys.stderr)
        known = diagnose(text)
        if known is not None:
            print(f"cause: {known.cause}\nfix:   {known.fix}", file=sys.stderr)
        raise SystemExit(1) from None


def _input(prompt: str) -> str:
    """The chat's next question; `exit` at the end of a pipe, or at Ctrl-D, which LLaMA-Factory takes for an error."""
    try:
        return input(prompt)
    except EOFError:
        print()
        return "exit"


if __name__ == "__main__":
    main(lifecycle.begin(ChatJob))
