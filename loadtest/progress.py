"""What a person sees while a load test runs, also when Ansible runs it and shows nothing before its end."""

from __future__ import annotations

import io
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

# Seconds between two lines where lines stay, as in a log.
LINE_INTERVAL = 10.0


class Progress:
    """Writes one line that changes at a terminal, and a line now and then elsewhere."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.clock = clock
        self.last = -LINE_INTERVAL
        self.open_line = False

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._write(f"{self._end()}{text}\n")

    def update(self, text: str) -> None:
        """Say how things stand."""
        if self.terminal:
            width = os.get_terminal_size(self.stream.fileno()).columns if os.isatty(self.stream.fileno()) else 80
            self._write(f"\r\x1b[K{text[: width - 1]}")
            self.open_line = True
        elif self.clock() - self.last >= LINE_INTERVAL:
            self.last = self.clock()
            self._write(f"{text}\n")

    def close(self) -> None:
        """End a line that changes."""
        self._write(self._end())

    def _end(self) -> str:
        end = "\n" if self.open_line else ""
        self.open_line = False
        return end

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            # The reader is gone; the measurement goes on.
            self.stream = io.StringIO()
            self.terminal = False


class Playbook:
    """The ansible-playbook process that started this one, if any: it shows our progress, and its end is ours."""

    def __init__(self, pid: int | None) -> None:
        self.pid = pid

    @classmethod
    def find(cls, proc: Path = Path("/proc"), own_pid: int | None = None) -> Playbook:
        """Look for it among the processes that this one descends from; the topmost is the one at the terminal."""
        found = None
        pid = own_pid or os.getpid()
        try:
            while pid > 1:
                pid = int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
                command = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
                if any(part.rsplit(b"/")[-1] == b"ansible-playbook" for part in command[:3]):
                    found = pid
        except (OSError, ValueError, IndexError):
            pass
        return cls(found)

    def stream(self) -> TextIO:
        """Where progress is written: the playbook's stderr if that is a terminal or a pipe, else ours.

        A file that it writes to has a position of which we know nothing: one of us would write over the other.
        """
        if self.pid is not None:
            output = Path(f"/proc/{self.pid}/fd/2")
            try:
                if not stat.S_ISREG(output.stat().st_mode):
                    return output.open("a")
            except OSError:
                pass
        return sys.stderr

    def ended(self) -> bool:
        """Whether it was there and is gone: a person ended it, for Ansible itself waits for us."""
        return self.pid is not None and not Path(f"/proc/{self.pid}").exists()
