"""Run a scenario against a target and keep what was measured, also when Ctrl-C ends it."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from loadtest import actions, apache_bench, k6, measurements, verdict
from loadtest.asking import Request, to_json
from loadtest.errors import LoadtestError
from loadtest.measurements import Answer, Part
from loadtest.open_loop import allow_many_files
from loadtest.progress import Progress
from loadtest.sampling import Sampler
from loadtest.scenario import Action, Scenario, Step
from loadtest.settling import settle
from loadtest.target import ROOT, Target

# The machine that sends was too busy where more than 1 % of the requests left later than this (ms).
SENT_LATE_LIMIT = 50.0
POLL = 0.2


@dataclasses.dataclass
class Measured:
    """What the tools brought home."""

    started_at: float
    duration: float = 0.0
    answers: list[Answer] = dataclasses.field(default_factory=list)
    parts: list[Part] = dataclasses.field(default_factory=list)
    total: Part | None = None
    notes: list[str] = dataclasses.field(default_factory=list)


class Run:
    """One run of one scenario; its files go into `directory`."""

    def __init__(self, scenario: Scenario, target: Target, directory: Path, progress: Progress) -> None:
        actions.check(scenario, target)
        if not (target.slo or scenario.slo):
            raise LoadtestError(
                f"scenario {scenario.name} has nothing to be judged by: neither it nor this environment has an SLO",
                look="group_vars/all.yml, loadtest_slo",
                type_this="slo: {mean_ms: 400, success_percent: 99.99}   (in the scenario's file)",
            )
        self.scenario = scenario
        self.target = target
        self.directory = directory
        self.progress = progress
        self.paths = scenario.paths or target.paths
        self.interrupted = False
        self.sampler = Sampler(target) if target.autoscaling_group else None
        self.notes: list[str] = []

    def settle(self, size: int | None) -> int | None:
        """Wait until the group is whole and has `size` instances; return the size. Ctrl-C sets `interrupted`."""
        if self.sampler is None:
            return None
        with self._interruptible():
            size, note = settle(
                self.sampler.look,
                size,
                interrupted=lambda: self.interrupted,
                say=lambda text: self.progress.update(f"{self.scenario.name}: {text}"),
            )
        self.progress.close()
        self.notes += [note] if note else []
        return size

    def __call__(self) -> dict[str, Any]:
        """Run, and return the result; it is in result.json, too. Raises LoadtestError when a tool can't be run."""
        allow_many_files()
        self.directory.mkdir(parents=True, exist_ok=True)
        measured = Measured(time.time(), notes=self.notes)
        with self._interruptible():
            if self.scenario.tool == "ab":
                self._ladder(measured)
            else:
                self._at_a_rate(measured)
        result = self._result(measured)
        (self.directory / "result.json").write_text(json.dumps(result, indent=1) + "\n")
        _write_csv(self.directory / "timeline.csv", result["timeline"])
        _write_csv(self.directory / "samples.csv", result["samples"])
        return result

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C, a TERM and the end of the terminal end the load, not the run."""

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            self.interrupted = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _watch(self, process: subprocess.Popen[str], stop: Callable[[], bool] = lambda: False) -> None:
        """Wait for a tool; pass an interruption on to it as Ctrl-C, once."""
        told = False
        while True:
            try:
                process.wait(POLL)
                return
            except subprocess.TimeoutExpired:
                pass
            if not told and (self.interrupted or stop()):
                told = True
                process.send_signal(signal.SIGINT)

    # -- at a rate -----------------------------------------------------------------------------------------------

    def _at_a_rate(self, measured: Measured) -> None:
        file = self.directory / "requests.csv"
        if self.scenario.tool == "k6" and k6.program() is None:
            raise LoadtestError(
                "k6 is not installed",
                look="loadtest/README.md",
                type_this="make k6   (on Linux; else see https://grafana.com/docs/k6/latest/set-up/install-k6/)",
            )
        command = [sys.executable, "-m", f"loadtest.{self.scenario.tool}", self.target.url, "--output", str(file)]
        command += ["--timeout", str(self.scenario.timeout)]
        for phase in self.scenario.phases:
            rate = f"{phase.rate}" if phase.to is None else f"{phase.rate}-{phase.to}"
            command += ["--phase", f"{rate}:{phase.duration}"]
        asked = self.directory / "asked.json"
        asked.write_text(to_json(self.scenario.requests or tuple(map(Request, self.paths))))
        command += ["--requests", str(asked)]
        if self.scenario.tool == "open_loop":
            command += ["--arrivals", self.scenario.arrivals]
        command += ["--visits"] if self.scenario.is_visit else []
        if self.scenario.processes > 1:
            command[2:3] = ["loadtest.several", str(self.scenario.processes)]
        # A session of its own: Ctrl-C at the terminal reaches it through us, once.
        with (self.directory / "tool.log").open("w+") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
            summary: dict[str, Any] = {}
            reader = threading.Thread(target=self._read_progress, args=(process, measured, summary))
            reader.start()
            last = self.scenario.phases[-1]
            last_begins = self.scenario.duration - last.duration
            undone = Performer(self)

            def back_at_minimum() -> bool:
                elapsed = time.time() - measured.started_at if summary.get("started") else -1.0
                undone.perform(elapsed)
                if not last.until or self.sampler is None or elapsed < last_begins:
                    return False
                return self.sampler.at_minimum(elapsed - last_begins)

            self._watch(process, back_at_minimum)
            reader.join()
            undone.finish()
            if self.sampler and summary.get("started"):
                self.sampler.stop()
            self.progress.close()
            if process.returncode or not summary.get("ended"):
                log.seek(0)
                # What was measured before it broke is worth having only when there is any.
                measured.notes.append(f"the generator ended with {process.returncode}: {log.read().strip()[-500:]}")
                if not summary.get("started"):
                    raise LoadtestError(
                        f"no request could be sent: {measured.notes[-1]}",
                        look=str(self.directory / "tool.log"),
                        type_this=f"curl {self.target.url}{self.paths[0]}",
                    )
        measured.answers = measurements.read_answers(file)
        measured.duration = float(summary.get("duration") or (measured.answers[-1].due if measured.answers else 0.0))
        measured.parts = measurements.parts_by_path(measured.answers, measured.duration)
        measured.total = measurements.part("all requests", measured.answers, measured.duration)
        if summary.get("retried"):
            measured.notes.append(
                f"requests sent twice, because their idle connection had just been closed: {summary['retried']}"
            )
        late = measurements.percentile(sorted(answer.sent_late for answer in measured.answers), 99)
        if late is not None:
            text = f"99 % of the requests left at most {late:.1f} ms late, which is part of their latency"
            busy = (
                "; the machine that sends was too busy: send from another one, or less"
                if late > SENT_LATE_LIMIT
                else ""
            )
            measured.notes.append(text + busy)

    def _read_progress(self, process: subprocess.Popen[str], measured: Measured, summary: dict[str, Any]) -> None:
        assert process.stdout is not None
        planned = self.scenario.duration
        for line in process.stdout:
            report = json.loads(line)
            if "started_at" in report:
                measured.started_at = report["started_at"]
                if self.sampler:
                    self.sampler.start(measured.started_at)
                summary["started"] = True
            elif report.get("ended"):
                summary.update(report)
            else:
                mean = f"{report['mean_ms']:g}" if report["mean_ms"] is not None else "-"
                longest = f"{report['max_ms']:g}" if report["max_ms"] is not None else "-"
                self.progress.update(
                    f"{self.scenario.name}: {report['elapsed']:.0f} of {planned:.0f} s, {report['answers']} answers/s, "
                    f"mean {mean} ms, longest {longest} ms, {report['total_failures']} of {report['total']} failed"
                    f"{self._instances()}"
                )

    def _instances(self) -> str:
        if not self.sampler or not self.sampler.samples:
            return ""
        sample = self.sampler.samples[-1]
        return f", {sample['in_service']} of {sample['desired']} instances"

    # -- ab -----------------------------------------------------------------------------------------------------

    def _ladder(self, measured: Measured) -> None:
        if self.sampler:
            self.sampler.start(measured.started_at)
        steps = [(path, step) for path in self.paths for step in self.scenario.steps]
        try:
            for number, (path, step) in enumerate(steps, 1):
                if self.interrupted:
                    break
                name = f"{path} -n {step.requests} -c {step.concurrency}"
                self._step(measured, name, path, step, f"{number} of {len(steps)}")
        finally:
            if self.sampler:
                self.sampler.stop()
        self.progress.close()
        measured.duration = time.time() - measured.started_at
        parts = measured.parts
        failures: dict[str, int] = {}
        for part in parts:
            for what, count in part.failures.items():
                failures[what] = failures.get(what, 0) + count
        measured.total = Part(
            "all steps",
            sum(part.requests for part in parts),
            sum(part.duration for part in parts),
            [latency for part in parts for latency in part.latencies],
            max((part.longest for part in parts), default=0.0),
            failures,
        )
        measured.notes.append(
            "ab is a closed loop: while the server is slow it asks less often, so its latencies flatter one that stalls"
        )

    def _step(self, measured: Measured, name: str, path: str, step: Step, which: str) -> None:
        base = self.directory / f"ab-{len(measured.parts) + 1:02}"
        command = apache_bench.command(self.target.url, path, step, base.with_suffix(".tsv"))
        begun = time.time()
        with base.with_suffix(".txt").open("w+") as output:
            try:
                process = subprocess.Popen(
                    command, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True
                )
            except FileNotFoundError as error:
                raise LoadtestError(
                    "ab is not installed", look="which ab", type_this="python -m bootstrap.load_tools"
                ) from error

            def report() -> bool:
                self.progress.update(
                    f"{self.scenario.name}: step {which}, {name}, {time.time() - begun:.0f} s{self._instances()}"
                )
                return False

            self._watch(process, report)
        text = base.with_suffix(".txt").read_text(errors="replace")
        summary = None
        try:
            summary = apache_bench.read_summary(text)
        except ValueError as error:
            if not self.interrupted:
                measured.notes.append(f"{name}: ab ended without a result: {error}")
        answers = apache_bench.read_requests(base.with_suffix(".tsv"), path, measured.started_at)
        part = apache_bench.part(name, step, summary, answers, interrupted=self.interrupted)
        if part.requests:
            measured.parts.append(part)
            measured.answers += answers
            figures = part.figures()
            mean = f"{figures['mean_ms']:.1f} ms" if figures["mean_ms"] is not None else "-"
            rate = f"{figures['rate']:.0f}" if figures["rate"] is not None else "-"
            self.progress.say(f"{name}: {rate} requests/s, mean {mean}, {part.failed} failed")

    # -- the result ---------------------------------------------------------------------------------------------

    def _result(self, measured: Measured) -> dict[str, Any]:
        assert measured.total is not None
        parts = [part.figures() for part in measured.parts]
        total = measured.total.figures()
        offered = max((phase.rate for phase in self.scenario.phases), default=None)
        if len(self.scenario.phases) > 1 or any(phase.to is not None for phase in self.scenario.phases):
            # The mean over phases of different rates says nothing about either.
            offered = None
        elif offered and self.scenario.is_visit:
            offered *= len(self.scenario.requests)
        limits = {**self.target.slo, **self.scenario.slo}
        lines = verdict.judge(parts, total, limits, "slo", offered)
        lines += verdict.judge(parts, total, self.target.goals, "goal", offered)
        if self.sampler and any(phase.until for phase in self.scenario.phases):
            lines.append(verdict.grown(self.sampler.added()))
        return {
            "scenario": self.scenario.name,
            "description": self.scenario.description,
            "tool": self.scenario.tool,
            "environment": self.target.environment,
            "url": self.target.url,
            "started_at": datetime.datetime.fromtimestamp(measured.started_at, datetime.UTC).isoformat(
                timespec="seconds"
            ),
            "duration": round(measured.duration, 3),
            "interrupted": self.interrupted,
            "exit_code": verdict.exit_code(lines, interrupted=self.interrupted),
            "verdict": [
                {**dataclasses.asdict(line), "text": line.text, "unit": line.unit, "comparison": line.comparison}
                for line in lines
            ],
            "total": total,
            "parts": parts,
            "timeline": measurements.timeline(measured.answers, measured.duration),
            "histogram": measurements.histogram(answer.latency for answer in measured.answers),
            "outages": measurements.outages(measured.answers),
            "samples": self.sampler.samples if self.sampler else [],
            "cpu": [{"at": at, "percent": value} for at, value in sorted(self.sampler.cpu.items())]
            if self.sampler
            else [],
            "marks": self.sampler.marks if self.sampler else [],
            "notes": measured.notes + (self.sampler.notes if self.sampler else []),
        }


class Performer:
    """Carries out a scenario's actions when their time has come, each in a thread: a slow API holds nothing up."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.left = list(run.scenario.actions)
        self.actions = actions.Actions(run.sampler, run.target) if run.sampler else None
        self.threads: list[threading.Thread] = []

    def perform(self, elapsed: float) -> None:
        """Begin what is due."""
        while self.left and self.left[0].at <= elapsed:
            thread = threading.Thread(target=self._do, args=(self.left.pop(0),), daemon=True)
            thread.start()
            self.threads.append(thread)

    def finish(self) -> None:
        """Wait for what was begun, undo what must not stay."""
        for thread in self.threads:
            thread.join(timeout=60)
        if self.actions:
            self.actions.undo()

    def _do(self, action: Action) -> None:
        assert self.actions is not None
        assert self.run.sampler is not None
        try:
            done = self.actions.do(action)
        except Exception as error:
            done = f"{action.do} failed: {type(error).__name__}: {error}"
        self.run.sampler.mark("action", done)
        self.run.progress.say(f"{self.run.scenario.name}: {done}")


def _write_csv(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
