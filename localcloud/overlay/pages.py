"""Answers in pages: a page's NextToken is the number of the first item of the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def page(
    items: Sequence[Any], token: Any, size: int, error: Callable[[str, str], Exception]
) -> tuple[Sequence[Any], str | None]:
    """Items from `token` on, at most `size` of them, and the token of those that follow, if any do.

    Raises `error`, of the service's own, for a token that no page had.
    """
    if not str(token or 0).isdecimal():
        raise error("InvalidNextToken", "The specified NextToken is not valid.")
    first = int(token or 0)
    last = first + size
    return items[first:last], str(last) if last < len(items) else None
