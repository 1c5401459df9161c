"""Measure what a request costs, ours and the contenders' in turn, and print it: `make benchmark`, about ten minutes.

CPU time per request (of nginx, uWSGI and PostgreSQL together) is the figure to look at: it depends little on what else
this machine does. Rates and latencies are for orientation; client, web server and database share the machine's cores.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from benchmarks import wrk
from benchmarks.lab import PROJECT_ROOT, Lab
from benchmarks.measure import ENDPOINTS, PORTS, measure, summarize, table

HERE = Path(__file__).parent


def main() -> None:
    """Set the lab up, measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(prog="make benchmark ARGS=...", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each; the median counts (default: 5)")
    parser.add_argument("--seconds", type=int, default=4, help="length of each (default: 4)")
    parser.add_argument(
        "--clients", type=int, default=50, help="that ask at the same time; the older set-up refuses 100 (default: 50)"
    )
    parser.add_argument(
        "--json", type=Path, default=PROJECT_ROOT / ".deploy/benchmark.json", help="file for the result"
    )
    options = parser.parse_args()
    wrk.install()
    with Lab("web2py-benchmark").running() as lab:
        print("Setting up a host and its database ...", flush=True)
        lab.play(HERE / "host.yml")
        lab.play(HERE / "contenders.yml")
        total = options.rounds * options.seconds * len(PORTS) * len(ENDPOINTS)
        print(f"Measuring: {total} s, and a little more ...", flush=True)
        results = summarize(
            measure(lab, rounds=options.rounds, seconds=options.seconds, clients=options.clients),
        )
    print(table(results))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    settings = {"rounds": options.rounds, "seconds": options.seconds, "clients": options.clients}
    document = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cores": os.cpu_count(), **settings}
    options.json.write_text(json.dumps({**document, "results": results}, indent=2) + "\n")
    print(f"\nAlso in {options.json}")


if __name__ == "__main__":
    main()
