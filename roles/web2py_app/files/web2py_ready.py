#!/usr/bin/env python3
"""Ask the application on this very host for each of its smoke paths, until all are answered; then say that it is ready.

    web2py-ready                                        at boot, with the settings in /etc/web2py-ready.json
    web2py-ready --within 7 http://127.0.0.1 /health /  for 7 seconds; then it fails and says which paths are wrong

Runs once at each boot (web2py-ready.service). Until its file exists, nginx refuses the load balancer's health check, so
an instance of a version that can't serve never gets a visitor's request. What is wrong is written to the console, which
the deployment reads (`aws ec2 get-console-output`).

200 is an answer. 503 means that something the application needs is away, which isn't this version's fault: it delays
readiness for `PATIENCE` seconds and no longer, or an outage of the database would keep every new instance out of
service. Anything else is asked for again, for as long as it takes.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

SETTINGS = Path("/etc/web2py-ready.json")
PATIENCE = 30  # seconds
PAUSE = 1  # second between two rounds
TIMEOUT = 10  # seconds for an answer


def ask(url: str) -> tuple[int, str]:
    """The HTTP status of an answer, after redirects, and the same in words. Status 0: there was none."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return answer.status, f"{answer.status}"
    except urllib.error.HTTPError as error:
        return error.code, f"{error.code} {error.reason}"
    except OSError as error:
        return 0, f"no answer ({error})"


def complaints(base: str, paths: list[str], patient: bool = True) -> Iterator[str]:
    """What is wrong with each path that isn't answered as it should be."""
    for path in paths:
        status, words = ask(base + path)
        if status != 200 and not (status == 503 and not patient):
            yield f"{path}: {words}"


def verify(base: str, paths: list[str], seconds: float) -> int:
    """The exit code: whether each path is answered with 200 within so many seconds."""
    deadline = time.monotonic() + seconds
    while any(complaints(base, paths)):
        if time.monotonic() > deadline:
            # All of it, and only if there still is any.
            wrong = list(complaints(base, paths))
            print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
            return 1 if wrong else 0
        time.sleep(PAUSE)
    return 0


def wait_until_ready() -> None:
    """Return when the application is ready."""
    settings = json.loads(SETTINGS.read_text())
    patient_until = time.monotonic() + PATIENCE
    said = ""
    while wrong := next(complaints(settings["url"], settings["paths"], time.monotonic() < patient_until), ""):
        if wrong != said:
            print(f"not ready: {wrong}", flush=True)
            said = wrong
        time.sleep(PAUSE)
    Path(settings["ready_file"]).touch()
    print("ready", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--within", type=float, metavar="SECONDS")
    parser.add_argument("url", nargs="?")
    parser.add_argument("paths", nargs="*")
    options = parser.parse_args()
    if options.within is not None:
        return verify(options.url, options.paths, options.within)
    wait_until_ready()
    return 0


if __name__ == "__main__":
    sys.exit(main())
