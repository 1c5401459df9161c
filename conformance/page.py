"""The table of localcloud/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from conformance.outcomes import VERDICTS, Comparison

PAGE = Path(__file__).parents[1] / "localcloud/README.md"
BEGIN, END = "<!-- figures: make conformance -->\n", "<!-- end -->"


def write(comparisons: Mapping[str, Comparison], moto: str, page: Path = PAGE) -> None:
    """Put the figures into the page, in place of those that are there."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    caption = f"moto {moto}'s own tests, against moto's server and against the local cloud's API without machines."
    page.write_text("\n".join([before + BEGIN, *table(comparisons), "", caption + "\n", END]) + after)


def table(comparisons: Mapping[str, Comparison]) -> Iterator[str]:
    yield f"| {' | '.join(['service', 'cases', *VERDICTS])} |"
    yield "|" + "---|" * (2 + len(VERDICTS))
    total: Counter[str] = Counter()
    for service, comparison in comparisons.items():
        total += comparison.counts
        yield _row(service, comparison.counts)
    if len(comparisons) > 1:
        yield _row("all", total)


def _row(name: str, counts: Counter[str]) -> str:
    return f"| {' | '.join([name, str(counts.total()), *(str(counts[verdict]) for verdict in VERDICTS)])} |"
