"""moto's own tests: where they come from, and how they are run against a server."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

from conformance.errors import ConformanceError

ROOT = Path(__file__).parents[1]
MOTO = version("moto")
# Resolved, as pytest does: the tests' ids are paths below it.
CACHE = (ROOT / ".cache").resolve() / "conformance" / MOTO
SERVICES = ("autoscaling", "elbv2", "cloudwatch", "rds", "ec2")
TEST_TIMEOUT = 60  # seconds; some of the tests wait for what comes at once, in a loop without an end
# pytest's own exit codes: some tests failed; none failed. Others are faults.
RAN = (0, 1)


def source_directory(given: str | None) -> Path:
    """The directory that has moto's `tests/` in it: one that is given, or that of moto's source package."""
    if given:
        if not (Path(given) / "tests/test_ec2").is_dir():
            raise ConformanceError(
                f"{given} has no tests/test_ec2",
                look=given,
                type_this=f"git -C {given} checkout {MOTO}",
            )
        return Path(given).resolve()
    if not (CACHE / "source/tests").is_dir():
        download(CACHE)
    return CACHE / "source"


def download(cache: Path) -> None:
    """Get moto's source package of the installed version, and unpack its tests."""
    print(f"Downloading the source package of moto {MOTO} ...", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "moto"]
    done = subprocess.run([*command, "--dest", cache, f"moto=={MOTO}"], check=False)
    archives = list(cache.glob(f"moto-{MOTO}.tar.gz"))
    if done.returncode or not archives:
        raise ConformanceError(
            f"pip could not download the source package of moto {MOTO}",
            look="pip's message above",
            type_this="make conformance ARGS='--moto /path/to/moto'   (a clone of it)",
        )
    with tarfile.open(archives[0]) as archive:
        tests = [member for member in archive if member.name.split("/")[1:2] == ["tests"]]
        for member in tests:  # moto itself is the installed one
            member.name = member.name.partition("/")[2]
        archive.extractall(cache / "source.part", members=tests, filter="data")
    (cache / "source.part").rename(cache / "source")


def run(directory: Path, service: str, endpoint: str, report: Path) -> None:
    """Run the tests of a service against a server; pytest's report goes to `report`, its output to a log beside it."""
    report.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        report.unlink()
    log = report.with_suffix(".log")
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(directory), "-q", "--tb=short"]
    plugins = ["-p", "no:cacheprovider", "-p", "conformance.leaked_mocks", f"--timeout={TEST_TIMEOUT}"]
    with log.open("w") as output:
        done = subprocess.run(
            [*command, *plugins, f"--junitxml={report}", f"tests/test_{service}"],
            cwd=directory,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))},
                "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
                "TEST_SERVER_MODE": "true",
                "TEST_SERVER_MODE_ENDPOINT": endpoint,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode not in RAN or not report.exists():
        raise ConformanceError(
            f"moto's tests of {service} could not be run against {endpoint}",
            look=log,
            type_this=f"make conformance ARGS='--service {service}'",
        )
