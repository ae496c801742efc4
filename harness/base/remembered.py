"""What was read of an object once is not read again while the object lives."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

Subject = TypeVar("Subject")
More = ParamSpec("More")
Result = TypeVar("Result")


def remembered(
    function: Callable[Concatenate[Subject, More], Result],
) -> Callable[Concatenate[Subject, More], Result]:
    """Keep what `function` returns, for each first argument as long as that lives. All arguments must be hashable, the
    further ones given by their places."""
    results: WeakKeyDictionary[Any, dict[tuple[Any, ...], Result]] = WeakKeyDictionary()

    @wraps(function)
    def remembering(subject: Subject, /, *more: More.args, **named: More.kwargs) -> Result:
        of_subject = results.setdefault(subject, {})
        if more not in of_subject:
            of_subject[more] = function(subject, *more, **named)
        return of_subject[more]

    return remembering
