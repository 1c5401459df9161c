"""The table of localcloud/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from conformance.outcomes import VERDICTS
from loadtest import figures

PAGE = Path(__file__).parents[1] / "localcloud/README.md"
COMMAND = "make conformance"
CAPTION = (
    "moto {}'s own tests, and configurations of ours for Terraform, against moto's server and against the local "
    "cloud's API without machines."
)
ALL = "all"  # the row of the sums


def write(counts: Mapping[str, Counter[str]], moto: str, page: Path = PAGE) -> None:
    """Put the figures of some services into the page; those of others stay, if they are of the same version of moto."""
    old, caption = figures.read(page, COMMAND), CAPTION.format(moto)
    kept = read(old) if caption in old else {}
    figures.write(page, COMMAND, [*table({**kept, **counts}), "", caption])


def read(text: str) -> dict[str, Counter[str]]:
    """The figures in a table, by service."""
    found = {}
    for line in text.splitlines():
        service, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if service != ALL and len(cells) == 1 + len(VERDICTS) and all(cell.isdigit() for cell in cells):
            found[service] = Counter(dict(zip(VERDICTS, map(int, cells[1:]), strict=True)))
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
