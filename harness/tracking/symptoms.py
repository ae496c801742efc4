"""What SwanLab's words mean, as swanlab 0.10.3 says them, and what helps."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.runs.record import Diagnosis

SYMPTOMS: tuple[tuple[str, str, str], ...] = (
    (
        r"No space left on device|Disk quota exceeded|File too large|disk is full|is not writable within",
        "the disk is full",
        "free some, or set output= to a folder on another disk",
    ),
    (
        r"no API key was provided|No API key provided|API key is required",
        "SwanLab found no key of an account",
        "export SWANLAB_API_KEY=KEY, or `swanlab login`; tracking=local needs neither",
    ),
    (
        r"login/api_key -> 4\d\d",
        "SwanLab's server refuses the account's key",
        "export SWANLAB_API_KEY=KEY or `swanlab login --relogin` with one that is valid there; a key of a server of "
        "one's own needs SWANLAB_API_HOST too",
    ),
    (
        r"NameResolutionError|NewConnectionError|MaxRetryError|ConnectionError|(Connect|Read)Timeout|[Tt]imed out"
        r"|ProxyError|SSLError|Connection (aborted|reset|refused)|RemoteDisconnected"
        r"|Upload failed due to network| -> 5\d\d|status=5\d\d",
        "SwanLab's server does not answer",
        "tracking=local and tracking=offline need no network; behind a proxy export HTTPS_PROXY=http://HOST:PORT",
    ),
    (
        r"\[HTTP\] .* -> 4\d\d|API Request Failed",
        "SwanLab's server refuses what it is sent",
        "tracking.workspace= and tracking.project= have to be ones that the account may write to",
    ),
    (
        r"validation errors? for",
        "SwanLab refuses a setting",
        "the message names it: a key of tracking, or one of SwanLab's own (a variable SWANLAB_..., .env, swanlab.yaml)",
    ),
    (
        r"by the user",
        "the run was stopped or deleted in SwanLab's dashboard",
        "leave it there while it is trained",
    ),
    (
        r"swanboard|No module named|ImportError",
        "SwanLab or its dashboard is not installed as it has to be",
        "pip install 'swanlab[dashboard]', or tracking=disabled",
    ),
    (
        r"[Pp]ermission ?[Dd]enied|PermissionError|Read-only file system|FileExistsError|NotADirectory|FileNotFound",
        "SwanLab cannot write its files",
        "swanlog in the sweep's folder has to be a folder that can be written",
    ),
    (
        r"killed by SIG",
        "the process that talks to SwanLab was killed, by the kernel for want of memory or by somebody",
        "`dmesg` shows the kernel's; the next run is tracked again",
    ),
)
"""The most decisive first."""
_ENDED = (
    "SwanLab waits for a server or a disk that does not answer",
    "tracking=local needs no network; another disk is output=",
)
_UNKNOWN = (
    "SwanLab could not go on",
    "logs/tracking.log in the run's folder tells more; tracking=disabled does without SwanLab",
)


CAUSES = (*(cause for _, cause, _ in SYMPTOMS), _ENDED[0], _UNKNOWN[0])


def diagnose(problem: str, hints: Iterable[str]) -> Diagnosis:
    """Return what a problem means, by its own words, else by what SwanLab said before. `hints`: the newest last."""
    for line in (problem, *reversed(list(hints))):
        for pattern, cause, fix in SYMPTOMS:
            if re.search(pattern, line):
                return Diagnosis(line=line, cause=cause, fix=fix)
    cause, fix = _ENDED if "was ended" in problem else _UNKNOWN
    return Diagnosis(line=problem, cause=cause, fix=fix)
