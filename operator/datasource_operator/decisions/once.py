"""Answers that several decisions ask for, worked out once for each `Observed`. Pure."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def once(answer: Callable[P, T]) -> Callable[P, T]:
    """Keep the answer in the `Observed`, as its cached properties are kept. A copy with other fields has none yet.

    The last argument is the `Observed`, which never changes. Others may only be parts of it, such as its facts.
    """
    kept_as = f"{answer.__module__}.{answer.__qualname__}"

    @wraps(answer)
    def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        answers: dict[str, Any] = args[-1].__dict__
        if kept_as not in answers:
            answers[kept_as] = answer(*args, **kwargs)
        known: T = answers[kept_as]
        return known

    return kept
