"""`python -m harness`: the plain Hydra application."""

from __future__ import annotations

import sys

from harness.execution.sweep import main

if __name__ == "__main__":
    main(sys.argv[1:])
