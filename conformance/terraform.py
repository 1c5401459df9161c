"""Terraform configurations of ours: each is applied, plans nothing, is changed, plans nothing again, and is destroyed.

They are modules of one root module, since it is the provider's start that takes long. A case is a type of resource: it
fails with the first thing that goes wrong with any resource of that type. What was not reached, because something else
went wrong, is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootstrap import terraform
from conformance.errors import ConformanceError
from conformance.outcomes import FAILED, PASSED, SKIPPED, Outcome

ROOT = Path(__file__).parents[1]
CONFIGURATIONS = ROOT / "tests/localcloud/stacks/plans"
SERVICE = "Terraform"  # its row of the table, and its part of expected.yml
# Where the project keeps the provider, so that an init copies and downloads nothing.
PLUGINS = ROOT / ".cache/terraform-plugins"
TIME_LIMIT = 1800  # seconds for one command: the provider waits for some things for longer
REQUIREMENTS = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}
"""
# An answer that asks to be asked again (500) is one that moto gives to everything that it lacks.
HEAD = f"""{REQUIREMENTS}
provider "aws" {{
  region      = "us-east-1"
  max_retries = 2
}}

variable "changed" {{ type = bool }}
"""
MODULE = """
module "{name}" {{
  source  = "./{name}"
  changed = var.changed
}}
"""
BLOCK = re.compile(r'^(resource|data) "(\w+)"', re.MULTILINE)
ADDRESS = re.compile(r"module\.(\w+)\.((?:data\.)?\w+)\.[\w\[\]\"-]+")
# What is done, in turn: a title, terraform's arguments, whether the configuration is the changed one.
PHASES = (
    ("apply", ("apply", "-auto-approve"), False),
    ("plan after apply", ("plan",), False),
    ("change", ("apply", "-auto-approve"), True),
    ("plan after change", ("plan",), True),
    ("destroy", ("destroy", "-auto-approve"), True),
)


def environment(endpoint: str) -> dict[str, str]:
    """In which Terraform speaks to the API at `endpoint`, and to nobody's account."""
    PLUGINS.mkdir(parents=True, exist_ok=True)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_", "TF_LOG"))},
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "TF_PLUGIN_CACHE_DIR": str(PLUGINS),
        **terraform.environment(),
    }


def cases(configurations: Path = CONFIGURATIONS) -> dict[str, list[str]]:
    """The types of each configuration's resources; of data, as `data.TYPE`."""
    found = {}
    for path in sorted(configurations.glob("*.tf")):
        blocks = BLOCK.findall(path.read_text())
        found[path.stem] = sorted({kind if block == "resource" else f"data.{kind}" for block, kind in blocks})
    return found


@dataclass
class Answer:
    """What a command said (`-json`), by the address of the resource."""

    planned: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    errored: set[str] = field(default_factory=set)
    actions: dict[str, str] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)  # address, or "" where none is named; message

    @classmethod
    def read(cls, lines: Iterator[str]) -> Answer:
        answer = cls()
        for line in lines:
            with contextlib.suppress(ValueError):
                answer._add(json.loads(line))
        # An error while something is destroyed doesn't say what, but that is said beside it.
        without = "; ".join(message for address, message in answer.errors if not address)
        unsaid = answer.errored - {address for address, _ in answer.errors}
        if without and unsaid:
            answer.errors = [error for error in answer.errors if error[0]] + [(address, without) for address in unsaid]
        return answer

    def _add(self, event: dict[str, Any]) -> None:
        change = event.get("change") or event.get("hook") or {}
        address, action = change.get("resource", {}).get("addr", ""), change.get("action", "")
        if event["type"] == "planned_change" and action != "read":
            self.planned.add(address)
            self.actions[address] = action + (f", {change['reason']}" if "reason" in change else "")
        elif event["type"] == "apply_start":
            self.started.add(address)
        elif event["type"] == "apply_complete":
            self.completed.add(address)
        elif event["type"] == "apply_errored":
            self.errored.add(address)
        elif event["type"] == "diagnostic" and event["diagnostic"]["severity"] == "error":
            diagnostic = event["diagnostic"]
            message = f"{diagnostic['summary']}: {diagnostic.get('detail', '')}"
            # What Terraform has against the provider's answer names the resource in its text only.
            named = ADDRESS.search(message)
            self.errors.append((diagnostic.get("address") or (named[0] if named else ""), message))


class Verdicts:
    """The first thing that went wrong with each type."""

    def __init__(self, configurations: dict[str, list[str]]) -> None:
        self._types = configurations
        self._failed: dict[str, str] = {}
        self._skipped: dict[tuple[str, str], str] = {}  # module and type
        self._unmade: set[str] = set()  # addresses

    def fail(self, address: str, message: str) -> None:
        self._failed.setdefault(split(address)[1], message)

    def skip(self, module: str, kind: str, message: str) -> None:
        self._skipped.setdefault((module, kind), message)

    def applied(self, answer: Answer, title: str) -> None:
        """Note what was to be done and was not: what failed itself, and what stands on that."""
        self._unmade |= answer.planned
        self._unmade -= answer.completed
        failed = {address for address, _ in answer.errors}
        for address in answer.planned - answer.completed - failed:
            self.skip(*split(address), f"{title}: not reached")

    def planned(self, answer: Answer, title: str) -> None:
        """Nothing may be planned but what could not be done before."""
        for address in answer.planned - self._unmade:
            self.fail(address, f"{title}: {address}: {answer.actions[address]} is planned")

    def outcomes(self) -> dict[str, Outcome]:
        found = {}
        for kind in sorted({kind for kinds in self._types.values() for kind in kinds}):
            places = [(module, kind) for module, kinds in self._types.items() if kind in kinds]
            if kind in self._failed:
                found[kind] = Outcome(FAILED, self._failed[kind])
            elif all(place in self._skipped for place in places):
                found[kind] = Outcome(SKIPPED, self._skipped[places[0]])
            else:
                found[kind] = Outcome(PASSED)
        return found


def split(address: str) -> tuple[str, str]:
    """Module and type of a resource."""
    found = ADDRESS.match(address)
    return (found[1], found[2]) if found else ("", "")


class Configurations:
    """Those of a directory, in a working directory of their own, against the API at `endpoint`."""

    def __init__(self, endpoint: str, directory: Path, log: Path, configurations: Path = CONFIGURATIONS) -> None:
        self._environment = environment(endpoint)
        self._directory = directory
        self._log = log
        self._types = cases(configurations)
        root = HEAD
        for name in self._types:
            (directory / name).mkdir(parents=True)
            (directory / name / "main.tf").write_text((configurations / f"{name}.tf").read_text())
            root += MODULE.format(name=name)
        (directory / "main.tf").write_text(root)

    def outcomes(self) -> dict[str, Outcome]:
        """How each type fares. Raises ConformanceError where Terraform can't be run."""
        self._log.write_text("")
        code, output = self._run("init", "-input=false", "-no-color")
        if code:
            raise ConformanceError(f"terraform init failed\n{output}", look=self._log, type_this="make tools")
        verdicts = Verdicts(self._types)
        modules = list(self._types)
        for title, arguments, changed in PHASES:
            modules = self._phase(verdicts, modules, title, (*arguments, "-var", f"changed={json.dumps(changed)}"))
        return verdicts.outcomes()

    def _phase(self, verdicts: Verdicts, modules: list[str], title: str, arguments: Sequence[str]) -> list[str]:
        """Do a step with some modules. Those with which can be gone on."""
        while modules:
            targets = [] if len(modules) == len(self._types) else [f"-target=module.{name}" for name in modules]
            _, output = self._run(*arguments, "-json", "-input=false", "-lock=false", *targets)
            answer = Answer.read(iter(output.splitlines()))
            broken = {split(address)[0] for address, _ in answer.errors}
            if "" in broken:
                raise ConformanceError(
                    f"terraform {arguments[0]} failed: {answer.errors[0][1]}",
                    look=self._log,
                    type_this=f"make conformance ARGS='--service {SERVICE}'",
                )
            for address, message in answer.errors:
                verdicts.fail(address, f"{title}: {address}: {message}")
            if arguments[0] == "plan":
                verdicts.planned(answer, title)
            elif answer.started or not broken:
                verdicts.applied(answer, title)
                return modules
            # A plan of what can't be read says nothing of what stands on it, and can't be applied.
            for module in broken:
                for kind in self._types[module]:
                    verdicts.skip(module, kind, f"{title}: not reached")
            modules = [name for name in modules if name not in broken]
            if arguments[0] == "plan":
                break
        return modules

    def _run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of `terraform ...`; both go to the log, too."""
        with self._log.open("a") as log:
            log.write(f"terraform {' '.join(arguments)}\n")
            log.flush()
            begin = log.tell()
            try:
                done = subprocess.run(
                    ["terraform", *arguments],
                    cwd=self._directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=TIME_LIMIT,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise ConformanceError(
                    f"terraform {arguments[0]} took longer than {TIME_LIMIT} s",
                    look=self._log,
                    type_this=f"make conformance ARGS='--service {SERVICE}'",
                ) from error
            except FileNotFoundError as error:
                raise ConformanceError("there is no terraform", look="PATH", type_this="make tools") from error
        with self._log.open() as log:
            log.seek(begin)
            return done.returncode, log.read()


def write_report(outcomes: dict[str, Outcome], path: Path) -> None:
    """The outcomes in JUnit's format, as those of moto's tests are."""
    suite = ElementTree.Element("testsuite", name=SERVICE)
    for kind, outcome in outcomes.items():
        case = ElementTree.SubElement(suite, "testcase", classname=SERVICE, name=kind)
        if outcome.status == FAILED:
            ElementTree.SubElement(case, "failure", message=outcome.message)
        elif outcome.status == SKIPPED:
            ElementTree.SubElement(case, "skipped", message=outcome.message)
    ElementTree.ElementTree(suite).write(path, encoding="unicode")
