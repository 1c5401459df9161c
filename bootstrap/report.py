"""What a person at the terminal gets to read."""

import sys
from textwrap import indent
from typing import NoReturn


def say(text: str) -> None:
    """Say what is being done, on stderr: stdout belongs to whoever asked for a result."""
    print(text, file=sys.stderr, flush=True)


def advice(what: object, *, look: object, type_this: str) -> str:
    """The message of three parts: what failed, where to look, what to type.

    In Ansible plugins/action/fail_with_advice.py makes it, in shell bootstrap/fail.sh.
    """
    parts = {"ERROR:   ": what, "Look at: ": look, "Type:    ": type_this}
    return "\n".join(title + indent(str(part).strip(), " " * 9).lstrip() for title, part in parts.items())


class AdvisedError(Exception):
    """Something that the person can mend."""

    def __init__(self, what: object, *, look: object, type_this: str) -> None:
        super().__init__(advice(what, look=look, type_this=type_this))


def fail(what: str, *, look: str, type_this: str) -> NoReturn:
    """End with that message."""
    raise SystemExit("\n" + advice(what, look=look, type_this=type_this))
