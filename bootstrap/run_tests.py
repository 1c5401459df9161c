"""Run pytest with a Docker engine: one that is started for it is stopped at the end, one that ran is left alone.

Without `--all` those that are marked `essential` (tests/conftest.py says which): what the main job stands on.

The tests run in steps, and a step that fails is the last: what is quick and says the most comes first. pytest's closing
line is the last line of output.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import pytest

from bootstrap import docker_engine, packages

TESTS = Path(__file__).resolve().parents[1] / "tests"
# Tests are run in groups, so many at a time. Where the clouds of each are:
SLOTS = [
    {
        "LOCALCLOUD_TEST_PORT": str(14500 + number),
        "LOCALCLOUD_TEST_CIDR": f"10.{200 + number}.0.0/16",
        "E2E_PORT": str(14600 + number),
        "E2E_CIDR": f"10.{210 + number}.0.0/16",
    }
    for number in range(4)
]
# What is measured, and where: pyproject.toml. Each group writes a file of its own.
COVERAGE = TESTS.parent / ".cache/coverage"
MEASURED = ("--cov", "--cov-report=")

# Programs, under any of these names, without which tests would be skipped: the first is that of Debian's package, too.
PROGRAMS = [("shellcheck",), ("chromium", "chromium-browser", "google-chrome")]

HARMLESS = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)

Group = Sequence[str | Path]  # what one pytest is to run, and how


def essential() -> list[list[Group]]:
    """The steps of what is marked so. It has two groups at a time, as small machines have two cores."""
    return [
        [[TESTS / "lint"], [TESTS / "unit"]],
        [[TESTS / "e2e/test_main_job.py"], [TESTS / "localcloud", TESTS / "roles"]],
    ]


def everything() -> list[list[Group]]:
    """The steps, one after the other. The groups of one step are begun in this order, the longest first."""

    def cloud(names: str) -> Group:
        return [*sorted((TESTS / "localcloud").glob(f"test_{names}.py")), *MEASURED]

    def ends(*names: str) -> Group:
        return [TESTS / f"e2e/test_{name}.py" for name in names]

    return [
        [[TESTS / "lint"], [TESTS / "unit", *MEASURED]],
        [
            # Its second part puts load on what is deployed, and waits until two others go on beside it at most.
            ends("story_1_from_nothing", "story_2_deploys", "story_3_to_nothing"),
            ends("interrupts", "other_settings"),
            [TESTS / "roles"],
            [TESTS / "webtier"],
            ends("management"),
            cloud("[a-c]*"),
            cloud("[d-h]*"),
            cloud("[m-z]*"),
            cloud("[i-k]*"),
            cloud("l*"),
            ends("main_job"),
            ends("killed", "environments"),
            ends("uploads_in_s3"),
            ends("aws_inventory", "bad_input", "recipes"),
            [TESTS / "loadtest", *MEASURED],
        ],
    ]


def main() -> int:
    """Run pytest with the given arguments and return its exit code."""
    # Until pytest runs, a signal ends us the way an exception does: through `finally`.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    # Or each of some hundred runs of Ansible would compile its collections' plugins once more.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    stop = docker_engine.ensure()
    try:
        install_programs()
        docker_engine.ensure_images_can_be_built()
        images = subprocess.run([sys.executable, "-m", "localcloud", "images"], check=False)
        if images.returncode != 0:
            return images.returncode
        arguments = [word for word in sys.argv[1:] if word != "--all"]
        if "--all" in sys.argv:
            return run_steps(everything(), arguments)
        return run_steps(essential(), ["-m", "essential", *arguments])
    finally:
        if stop is not None:
            stop()


def install_programs() -> None:
    """Install those of `PROGRAMS` that are missing."""
    missing = [names[0] for names in PROGRAMS if not any(map(shutil.which, names))]
    if missing:
        packages.install(*missing, purpose="for tests of scripts and pages")


def run_steps(waiting: list[list[Group]], arguments: list[str]) -> int:
    """The exit code of the first step that fails, or of the last. A step none of whose tests is chosen doesn't fail."""
    code = int(pytest.ExitCode.NO_TESTS_COLLECTED)
    shutil.rmtree(COVERAGE, ignore_errors=True)
    failed: list[int] = []
    while waiting and not failed:
        groups = Groups(waiting.pop(0), arguments)
        groups.run()
        failed = [one for one in groups.codes if one not in HARMLESS]
        if groups.interrupted:
            failed.append(int(pytest.ExitCode.INTERRUPTED))
        if failed or not waiting:
            report_coverage()
        groups.show_held()
        code = min([code, *groups.codes])
    return failed[-1] if failed else code


def report_coverage() -> None:
    """Print which share of each file was executed by the groups that measured it, if any did."""
    measured = sorted(COVERAGE.glob("*"))
    if measured:
        coverage = [sys.executable, "-m", "coverage"]
        subprocess.run([*coverage, "combine", "--quiet", *measured], cwd=TESTS.parent, check=False)
        subprocess.run([*coverage, "report"], cwd=TESTS.parent, check=False)
        shutil.rmtree(COVERAGE)


class Groups:
    """Groups of tests that are run at the same time, as many as there are `SLOTS`, each to its end."""

    def __init__(self, groups: Sequence[Group], arguments: Sequence[str]) -> None:
        self._waiting = list(groups)
        self._arguments = arguments
        # A single one writes while it goes on; of several, each when it has ended, and what failed is said last.
        self._alone = len(groups) == 1
        self._running: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
        self._held: list[tuple[bool, IO[bytes]]] = []
        self.codes: list[int] = []
        self.interrupted = False

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Begin no more. Ctrl-C reaches pytest by itself: the terminal sends it to all of us."""
        self._waiting.clear()
        self.interrupted = True

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Pass on as Ctrl-C, which pytest knows how to clean up after: its fixtures have clouds to take down."""
        self.stop(number, frame)
        for process, _output in self._running.values():
            process.send_signal(signal.SIGINT)

    def run(self) -> None:
        """Return when all have ended, whatever signal arrives. `codes` are pytest's exit codes."""
        # Handlers, not SIG_IGN: an ignored signal would stay ignored in what pytest starts.
        signal.signal(signal.SIGINT, self.stop)
        signal.signal(signal.SIGTERM, self.interrupt)
        signal.signal(signal.SIGHUP, self.interrupt)
        while self._waiting or self._running:
            for slot in range(len(SLOTS)):
                if slot not in self._running and self._waiting:
                    self._running[slot] = self._start(self._waiting.pop(0), SLOTS[slot])
            time.sleep(0.1)
            for slot, (process, output) in list(self._running.items()):
                if process.poll() is not None:
                    del self._running[slot]
                    self._ended(process.returncode, output)

    def show_held(self) -> None:
        """Write what was held back: the group that ended last, and those that failed."""
        for _failed, output in sorted(self._held, key=lambda held: held[0]):
            show(output)

    def _start(self, group: Group, slot: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        measured = {"COVERAGE_FILE": f"{COVERAGE}/{time.monotonic_ns()}"} if MEASURED[0] in group else {}
        output = tempfile.TemporaryFile()  # noqa: SIM115 -- `show` closes it
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *group, *self._arguments],
            env={**os.environ, **slot, **measured, "TESTS_RUN_IN_GROUPS": "1"},
            stdout=None if self._alone else output,
            stderr=None if self._alone else subprocess.STDOUT,
        )
        return process, output

    def _ended(self, code: int, output: IO[bytes]) -> None:
        self.codes.append(code)
        if code in HARMLESS and (self._waiting or self._running):
            show(output)
        else:
            self._held.append((code not in HARMLESS, output))


def show(output: IO[bytes]) -> None:
    """Write what pytest has written."""
    with output:
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
