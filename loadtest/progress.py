"""What a person sees while a load test runs."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
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
