"""The one kind of error that a person at the terminal is told about."""

from __future__ import annotations

from bootstrap.report import AdvisedError


class ConformanceError(AdvisedError):
    """What ends a run, and can be mended."""
