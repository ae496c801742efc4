"""`python -m harness.workers.torchrun [--announce=RUN] ...`: torchrun that dies with the harness.

Its processes die with it. On node 0 of several it tells the others which run it trains.
"""

import sys

from harness.workers import lifecycle as in_child
from harness.workers import meet as meeting

ANNOUNCE = "--announce="

if __name__ == "__main__":
    in_child.die_with_parent()
    from torch.distributed import run

    arguments = sys.argv[1:]
    if arguments[0].startswith(ANNOUNCE):
        announced = arguments.pop(0).removeprefix(ANNOUNCE)
        given = run.parse_args(arguments)  # type: ignore[no-untyped-call]
        store = meeting.announce(given.master_addr, int(given.master_port), announced)
    run.main(arguments)
