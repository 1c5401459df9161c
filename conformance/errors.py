"""The one kind of error that a person at the terminal is told about."""

from __future__ import annotations


class ConformanceError(Exception):
    """Something that the person can mend: what is wrong, where to look, what to type."""

    def __init__(self, what: str, *, look: object, type_this: str) -> None:
        super().__init__(f"ERROR:   {what}\nLook at: {look}\nType:    {type_this}")
