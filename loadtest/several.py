"""The open loop from several processes, for more than one core can send: each sends its share of one schedule.

python -m loadtest.several NUMBER URL ...          the rest as of loadtest.open_loop, whose output it has
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from loadtest.open_loop import HEADER

# Seconds that all have to start in.
START = 3.0


def main() -> int:
    """Run the processes, and put together what they say and write."""
    number, words = int(sys.argv[1]), sys.argv[2:]
    place = words.index("--output") + 1
    output = Path(words[place])
    parts = [output.with_name(f"{output.name}.{which}") for which in range(number)]
    begin = time.time() + START
    command = [sys.executable, "-m", "loadtest.open_loop"]
    processes = [
        subprocess.Popen(
            [*command, *words[:place], str(part), *words[place + 1 :], "--share", f"{which}/{number}@{begin}"],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for which, part in enumerate(parts)
    ]

    def stop(signum: int, _frame: object) -> None:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    lines: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    readers = [threading.Thread(target=read, args=(which, process, lines)) for which, process in enumerate(processes)]
    for reader in readers:
        reader.start()
    tell(number, lines)
    for process in processes:
        process.wait()
    with output.open("w") as whole:
        whole.write(HEADER)
        for part in parts:
            with part.open() as own:
                next(own, None)
                whole.writelines(own)
            part.unlink()
    return max(process.returncode for process in processes)


def read(which: int, process: subprocess.Popen[str], lines: queue.Queue[tuple[int, dict[str, Any]]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put((which, json.loads(line)))
    lines.put((which, {"closed": True}))


def tell(number: int, lines: queue.Queue[tuple[int, dict[str, Any]]]) -> None:
    """Say what all of them say, as one would."""
    begun: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    said: dict[int, dict[str, Any]] = {}
    closed = 0
    while closed < number:
        which, line = lines.get()
        if line.get("closed"):
            closed += 1
        elif "started_at" in line:
            begun.append(line)
            if len(begun) == number:
                say({"started_at": min(one["started_at"] for one in begun)})
        elif line.get("ended"):
            ended.append(line)
            if len(ended) == number:
                say(together(ended))
        else:
            said[which] = line
            if len(said) == number:
                say(report(list(said.values())))
                said.clear()


def report(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the same second: sums, the mean of all answers, the longest of all."""
    sums = {
        key: sum(line[key] for line in lines) for key in ("answers", "failures", "under_way", "total", "total_failures")
    }
    times = [line["mean_ms"] * line["answers"] for line in lines if line["mean_ms"] is not None]
    return {
        "elapsed": max(line["elapsed"] for line in lines),
        **sums,
        "mean_ms": round(sum(times) / sums["answers"], 1) if times else None,
        "max_ms": max((line["max_ms"] for line in lines if line["max_ms"] is not None), default=None),
    }


def together(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What they say at their end."""
    return {
        "ended": True,
        "duration": max(line["duration"] for line in lines),
        "stopped": any(line["stopped"] for line in lines),
        "retried": sum(line["retried"] for line in lines),
        "connections": sum(line["connections"] for line in lines),
    }


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
