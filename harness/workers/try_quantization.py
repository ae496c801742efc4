"""Tries each quantization on a device, and prints one line of JSON for each."""

from __future__ import annotations

import sys

from harness.doctor.trial import ARGUMENTS, Trial
from harness.processes.jobs import QuantizationTrialJob
from harness.workers import lifecycle


def main(job: QuantizationTrialJob) -> None:
    """Print a Trial for each quantization. Ends with a message where torch does not see the device."""
    with lifecycle.collector_paused():
        from harness.workers import proof

    try:
        proof.require(job.device)
    except proof.NoDeviceError as error:
        sys.exit(str(error).removesuffix("; `harness doctor` tells why"))
    for quantization, arguments in ARGUMENTS.items():
        problem = None
        try:
            proof.prove(arguments, job.device)
        except lifecycle.UnsupportedError as error:
            problem = str(error)
        print(Trial(quantization=quantization, problem=problem).model_dump_json(), flush=True)


if __name__ == "__main__":
    main(lifecycle.begin(QuantizationTrialJob))
