"""k6 in place of the open loop: another's generator, for the same scenarios, page and verdict.

    python -m loadtest.k6 URL --phase RATE[-RATE]:SECONDS [--phase ...] --requests FILE --output FILE

It writes and says what `loadtest.open_loop` does. k6 begins a request when it is due (its arrival-rate executors) on a
client that has none under way; when all have one, it leaves the request out and counts it. Here it is one that failed.

What k6 says of a request is the time until it had a connection, and from then on; how late the request left, which is
in our latency, is known to the millisecond that JavaScript's clock has.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from loadtest.asking import Request, from_json
from loadtest.open_loop import HEADER, MAX_CONNECTIONS, Phase, allow_many_files, phase, quoted, schedule

SCRIPT = Path(__file__).with_suffix(".js")
INSTALLED = Path(__file__).parents[1] / ".venv-k6/bin"
# k6's rates are whole numbers: of a thousand seconds, so that 2.5/s can be said.
TIME_UNIT = 1000
# Its codes of errors -> our words (https://grafana.com/docs/k6/latest/javascript-api/error-codes/).
ERRORS = {1050: "timeout", 1211: "timeout", 1212: "connection refused", 1220: "connection reset"}
# A request that begins so much later than one was due is not that one, where k6 has left some out. In s.
LEFT_OUT = 0.1


def scenario(phases: Sequence[Phase], timeout: float) -> dict[str, Any]:
    """k6's word for it."""
    stages: list[dict[str, Any]] = []
    for one in phases:
        # A stage goes from the rate before it to its own: without a duration, at once.
        stages.append({"target": round(one.rate * TIME_UNIT), "duration": "0s"})
        stages.append({"target": round(one.to * TIME_UNIT), "duration": f"{one.duration}s"})
    # The last request is due at the very end, and k6 begins a little later than it says.
    stages.append({"target": stages[-1]["target"], "duration": "2s"})
    # As many clients as can have a request under way, made before: while k6 makes one, it leaves requests out.
    clients = min(math.ceil(max(max(one.rate, one.to) for one in phases) * timeout) + 1, MAX_CONNECTIONS)
    return {
        "executor": "ramping-arrival-rate",
        "startRate": stages[0]["target"],
        "timeUnit": f"{TIME_UNIT}s",
        "stages": stages,
        "preAllocatedVUs": clients,
        "maxVUs": clients,
        "gracefulStop": f"{timeout + 5}s",
    }


def plan(url: str, phases: Sequence[Phase], requests: Sequence[Request], timeout: float) -> dict[str, Any]:
    """What k6.js reads."""
    asked = []
    for request in requests:
        head, _, body = request.encode("", "", {}, {}).decode().partition("\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        # Those that k6 makes itself.
        named = {name: value for name, value in headers.items() if name not in ("Host", "User-Agent", "Content-Length")}
        named |= {name: value for name, value in request.headers.items() if name.lower() in ("host", "user-agent")}
        address = url.rstrip("/") + request.path
        asked.append({"method": request.method, "url": address, "headers": named, "body": body or None})
    return {
        "scenario": scenario(phases, timeout),
        "requests": asked,
        "timeout": f"{timeout}s",
        "total": len(due_times(phases)),
    }


class Reader:
    """What k6 prints: a line for each request that has ended, and one at its own end."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests
        self.lines: list[dict[str, Any]] = []
        self.failures = self.reported = self.reported_failures = 0
        self.dropped = 0
        self.other: list[str] = []

    def read(self, text: str) -> None:
        """One line. The first says when the load began."""
        try:
            line = json.loads(text)
        except ValueError:
            self.other.append(text.rstrip())
            return
        if "dropped" in line:
            self.dropped = round(line["dropped"])
            return
        if not self.lines:
            say({"started_at": line["start"] / 1000})
        request = self.requests[self.asked(line)]
        line["right"] = bool(line["status"]) and request.is_right(line["status"])
        self.lines.append(line)
        self.failures += not line["right"]

    def asked(self, line: dict[str, Any]) -> int:
        """Which of the requests it was."""
        return int(line["number"]) % len(self.requests)

    def report(self) -> None:
        """Of what has ended since the last time."""
        total, failures = len(self.lines), self.failures
        new = self.lines[self.reported : total]
        times = [line["ended"] - line["begun"] for line in new]
        say(
            {
                "elapsed": round(new[-1]["ended"] / 1000, 1) if new else 0.0,
                "answers": len(new),
                "failures": failures - self.reported_failures,
                "mean_ms": round(sum(times) / len(times), 1) if times else None,
                "max_ms": max(times, default=None),
                "total": total,
                "total_failures": failures,
            }
        )
        self.reported, self.reported_failures = total, failures

    def rows(self, dues: Sequence[float], count: int) -> Iterator[str]:
        """A line of CSV for each of the first `count` requests, those that k6 has left out as well.

        `dues`: when each of the whole load is due, in s after the start.
        """
        lines = sorted(self.lines, key=lambda line: int(line["number"]))
        left_out, begun = count - len(lines), 0
        # Since k6's start. The first request, or the first that was in time, says when its schedule began.
        start = min(line["begun"] - dues[line["number"]] * 1000 for line in lines)
        for number, due in enumerate(dues[:count]):
            line = lines[begun] if begun < len(lines) else None
            if line is None or (left_out > 0 and (line["begun"] - start) / 1000 - due > LEFT_OUT):
                left_out -= 1
                name = quoted(self.requests[number % len(self.requests)].name)
                yield f"{number},{name},{due:.6f},0,0,0,0,not sent,no\n"
                continue
            begun += 1
            yield self.row(number, due, line, line["begun"] - start - due * 1000)

    def row(self, number: int, due: float, line: dict[str, Any], late: float) -> str:
        request, status = self.requests[self.asked(line)], line["status"]
        took = line["took"] if status else line["ended"] - line["begun"]
        error = ""
        if not status:
            error = ERRORS.get(line["code"], "no connection")
        elif 200 <= status < 300 and not line["right"]:
            error = f"{status} unexpected"
        name, right = quoted(request.name), "yes" if line["right"] else "no"
        return f"{number},{name},{due:.6f},{late:.3f},{late + took:.3f},{status},{line['bytes']},{error},{right}\n"


def due_times(phases: Sequence[Phase]) -> list[float]:
    """When k6 begins each, in s after the start: a first pause before the first, and the last at the end."""
    return [*itertools.islice(schedule(phases, "constant"), 1, None), sum(one.duration for one in phases)]


def program() -> str | None:
    """k6, of this machine or of `make k6`."""
    return shutil.which("k6") or shutil.which("k6", path=str(INSTALLED))


def generate(arguments: argparse.Namespace, command: str) -> int:
    """Run k6 until its end, or SIGINT."""
    requests = from_json(arguments.requests.read_text())
    description = arguments.output.with_name("k6.json")
    description.write_text(json.dumps(plan(arguments.url, arguments.phase, requests, arguments.timeout)))
    allow_many_files()
    process = subprocess.Popen(
        [command, "run", "--quiet", "--no-color", "--log-output=stdout", "--log-format=raw", str(SCRIPT)],
        env={**os.environ, "PLAN": str(description), "K6_NO_USAGE_REPORT": "true"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    reader, ended = Reader(requests), threading.Event()

    def report() -> None:
        while not ended.wait(1):
            if reader.lines:
                reader.report()

    reporter = threading.Thread(target=report)
    reporter.start()
    assert process.stdout is not None
    try:
        for text in process.stdout:
            reader.read(text)
    finally:
        ended.set()
        reporter.join()
    process.wait()
    dues = due_times(arguments.phase)
    # What was under way when k6 was stopped is not waited for.
    count = len(reader.lines) + reader.dropped if stopped.is_set() else len(dues)
    with arguments.output.open("w") as output:
        output.write(HEADER)
        if reader.lines:
            output.writelines(reader.rows(dues, count))
    if not reader.lines:
        print("\n".join(reader.other[-5:]), file=sys.stderr)
        return process.returncode or 1
    say(
        {
            "ended": True,
            "duration": dues[count - 1],
            "stopped": stopped.is_set(),
            "retried": 0,
        }
    )
    return 0


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main() -> int:
    """Read the command line, and have k6 generate load."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.k6")
    parser.add_argument("url")
    parser.add_argument("--phase", type=phase, action="append", required=True)
    parser.add_argument("--requests", type=Path, required=True, help="a file of loadtest.asking.to_json")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--timeout", type=float, default=10.0)
    arguments = parser.parse_args()
    found = program()
    if found is None:
        print("k6 is not installed", file=sys.stderr)
        return 127
    return generate(arguments, found)


if __name__ == "__main__":
    sys.exit(main())
