"""`python -m harness.workers.chat DEVICE chat|api|webchat ARGUMENTS`: what `llamafactory-cli` does with the rest.

On DEVICE (cpu, cuda, npu) and no other; Ctrl-C and the end of the input end it without a traceback.
"""

from __future__ import annotations

import signal
import sys
import traceback

from harness.processes.symptoms import diagnose
from harness.workers import compat
from harness.workers import lifecycle as in_child

NO_DEVICE, INTERRUPTED = 2, 130


def main(device: str, program: str, arguments: list[str]) -> None:
    # An interrupt in the midst of an import may be taken for a missing library, or be lost in a callback.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with in_child.collector_paused():
            compat.prepare_imports()
            from harness.workers import proof

            try:
                proof.require(device)
            except proof.NoDeviceError as error:
                print(f"error: {error}", file=sys.stderr)
                raise SystemExit(NO_DEVICE) from None
            compat.patch_bitsandbytes()
            from llamafactory import cli
            from llamafactory.chat import chat_model

            if program == "webchat":
                compat.label_web_page()
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        chat_model.input = _input
        sys.argv = ["llamafactory-cli", program, *arguments]
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
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
