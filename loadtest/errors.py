"""The one kind of error that a person at the terminal is told about."""

from __future__ import annotations

import textwrap


class LoadtestError(Exception):
    """Something that the person can mend: what is wrong, where to look, what to type."""

    def __init__(self, what: str, *, look: str, type_this: str) -> None:
        # As bootstrap/report.py says it, which is not in the image that load is sent from.
        parts = {"ERROR:   ": what, "Look at: ": look, "Type:    ": type_this}
        super().__init__(
            "\n".join(title + textwrap.indent(part.strip(), " " * 9).lstrip() for title, part in parts.items())
        )
