"""What a person at the terminal gets to read."""

import sys
from typing import NoReturn


def say(text: str) -> None:
    """Say what is being done, on stderr: stdout belongs to whoever asked for a result."""
    print(text, file=sys.stderr, flush=True)


def fail(what: str, *, look: str, type_this: str) -> NoReturn:
    """End with a message of three parts: what failed, where to look, what to type."""
    raise SystemExit(f"\nERROR: {what}\n  Look at: {look}\n  Type:    {type_this}")
