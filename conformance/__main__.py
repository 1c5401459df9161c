"""Run moto's own tests and our Terraform configurations against moto and against the local cloud's API, and compare.

The table goes into localcloud/README.md. It takes half an hour on two cores; --service runs a part, and the figures of
the others stay. What should differ is in conformance/expected.yml, each with its reason. Exits with 1 when a test is
worse that is not there.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from conformance import page, servers, suite, terraform
from conformance.errors import ConformanceError
from conformance.outcomes import Comparison, compare, read_expected, read_report

EXPECTED = Path(__file__).parent / "expected.yml"
SERVICES = (*suite.SERVICES, terraform.SERVICE)
RESULTS = suite.CACHE / "results"


def main() -> int:
    """Run, compare, print, write; the exit code."""
    parser = argparse.ArgumentParser(
        prog="make conformance ARGS=...", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--service", action="append", choices=SERVICES, help="only this one; may be repeated")
    parser.add_argument("--against", choices=servers.MODULES, help="run the tests against this one only")
    parser.add_argument("--no-run", action="store_true", help="compare the last results again, with a changed list")
    parser.add_argument(
        "--moto", metavar="DIRECTORY", default=os.environ.get("MOTO_SOURCE"),
        help="a clone of moto at the version's tag, instead of its source package (or MOTO_SOURCE)",
    )  # fmt: skip
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server and pytest end with it
    try:
        expected = read_expected(EXPECTED)
        if not options.no_run:
            for name in [options.against] if options.against else servers.MODULES:
                run(name, options.moto, options.service or SERVICES)
    except ConformanceError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    comparisons: dict[str, Comparison] = {}
    for service in SERVICES:
        moto, localcloud = report("moto", service), report("localcloud", service)
        if service in (options.service or SERVICES) and moto.exists() and localcloud.exists():
            comparisons[service] = compare(read_report(moto), read_report(localcloud), expected.get(service, []))
    say_differences(comparisons)
    counts = {service: comparison.counts for service, comparison in comparisons.items()}
    print("\n".join(page.table(counts)))
    page.write(counts, suite.MOTO)
    return 1 if any(comparison.failures for comparison in comparisons.values()) else 0


def report(name: str, service: str) -> Path:
    return RESULTS / f"{service}-{name}.xml"


def run(name: str, moto: str | None, services: list[str] | tuple[str, ...]) -> None:
    """Run the cases of some services against one server. `moto` is the directory of a clone, or None."""
    for service in services:
        begin = time.monotonic()
        directory = None if service == terraform.SERVICE else suite.source_directory(moto)
        log = report(name, service).with_suffix(".log")
        with servers.server(name, RESULTS / f"{service}-{name}-server.log") as endpoint:
            print(f"{service} against {name}: {log} ...", flush=True)
            if directory is not None:
                suite.run(directory, service, endpoint, report(name, service))
            else:
                report(name, service).unlink(missing_ok=True)
                with tempfile.TemporaryDirectory() as work:
                    outcomes = terraform.Configurations(endpoint, Path(work), log).outcomes()
                terraform.write_report(outcomes, report(name, service))
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)


def say_differences(comparisons: dict[str, Comparison]) -> None:
    """What is worse, and what is expected in vain."""
    for service, comparison in comparisons.items():
        for test, outcome in comparison.failures.items():
            print(f"worse: {test}\n    {(outcome.message.strip() or '-').splitlines()[0][:200]}")
        for difference in comparison.unused:
            print(f"expected in vain: {service}: {difference.reason}")


if __name__ == "__main__":
    sys.exit(main())
