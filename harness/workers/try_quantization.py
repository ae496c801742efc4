"""`python -m harness.workers.try_quantization DEVICE`: tries each quantization on cpu, cuda or npu; one line of JSON for each."""

from __future__ import annotations

import sys

from harness.doctor.trial import ARGUMENTS, Trial
from harness.workers import lifecycle as in_child


def main() -> None:
    in_child.die_with_parent()
    device = sys.argv[1]
    with in_child.collector_paused():
        from harness.workers import proof

    try:
        proof.require(device)
    except proof.NoDeviceError as error:
        sys.exit(str(error).removesuffix("; `harness doctor` tells why"))
    for quantization, arguments in ARGUMENTS.items():
        problem = None
        try:
            proof.prove(arguments, device)
        except in_child.UnsupportedError as error:
            problem = str(error)
        print(Trial(quantization=quantization, problem=problem).model_dump_json(), flush=True)


if __name__ == "__main__":
    main()
