"""`python -m harness`: the plain Hydra application."""

from __future__ import annotations

import sys

from harness.cli.run import plain_hydra

if __name__ == "__main__":
    plain_hydra(sys.argv[1:])
