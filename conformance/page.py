"""The table of localcloud/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from conformance.outcomes import VERDICTS

PAGE = Path(__file__).parents[1] / "localcloud/README.md"
BEGIN, END = "<!-- figures: make conformance -->\n", "<!-- end -->"
CAPTION = "moto {}'s own tests, against moto's server and against the local cloud's API without machines."
ALL = "all"  # the row of the sums


def write(counts: Mapping[str, Counter[str]], moto: str, page: Path = PAGE) -> None:
    """Put the figures of some services into the page; those of others stay, if they are of the same version of moto."""
    before, _, rest = page.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    caption = CAPTION.format(moto)
    kept = read(old) if caption in old else {}
    page.write_text("\n".join([before + BEGIN, *table({**kept, **counts}), "", caption + "\n", END]) + after)


def read(text: str) -> dict[str, Counter[str]]:
    """The figures in a table, by service."""
    found = {}
    for line in text.splitlines():
        service, *figures = [cell.strip() for cell in line.strip("|").split("|")]
        if service != ALL and len(figures) == 1 + len(VERDICTS) and all(figure.isdigit() for figure in figures):
            found[service] = Counter(dict(zip(VERDICTS, map(int, figures[1:]), strict=True)))
    return found


def table(counts: Mapping[str, Counter[str]]) -> Iterator[str]:
    yield f"| {' | '.join(['service', 'cases', *VERDICTS])} |"
    yield "|" + "---|" * (2 + len(VERDICTS))
    for service, of_service in counts.items():
        yield _row(service, of_service)
    if len(counts) > 1:
        yield _row(ALL, sum(counts.values(), Counter()))


def _row(name: str, counts: Counter[str]) -> str:
    return f"| {' | '.join([name, str(counts.total()), *(str(counts[verdict]) for verdict in VERDICTS)])} |"
