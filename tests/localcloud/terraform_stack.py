"""A Terraform configuration of a test's own, applied to the tests' local cloud as anybody would apply it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running_cloud import REGION, Cloud

from conformance import terraform

HEAD = f"""{terraform.REQUIREMENTS}
provider "aws" {{
  region = "{REGION}"
}}
"""
NO_CHANGES, CHANGES = 0, 2  # exit codes of `terraform plan -detailed-exitcode`


class TerraformError(AssertionError):
    """Terraform failed; the message is what it said."""


@dataclass
class TerraformStack:
    """A root module with its state in `directory`."""

    cloud: Cloud
    directory: Path

    def write(self, configuration: str) -> None:
        """Make `configuration` the module's content; the provider is set up already."""
        (self.directory / "main.tf").write_text(HEAD + configuration)

    def set_variables(self, variables: dict[str, Any]) -> None:
        """Give the module's variables their values, for all that follows."""
        (self.directory / "terraform.tfvars.json").write_text(json.dumps(variables))

    @property
    def environment(self) -> dict[str, str]:
        return terraform.environment(self.cloud.endpoint)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin `terraform …` in the module's directory; both its streams are one."""
        return subprocess.Popen(
            ["terraform", *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> tuple[int, str]:
        """Run `terraform …`: (exit code, output). TerraformError for any other than `codes`."""
        process = self.start(*arguments)
        output, _nothing = process.communicate()
        if process.returncode not in codes:
            raise TerraformError(f"terraform {' '.join(arguments)}: exit code {process.returncode}\n{output}")
        return process.returncode, output

    def init(self) -> None:
        self.run("init", "-input=false", "-no-color")

    def apply(self, *options: str) -> str:
        """Apply, and return what Terraform said."""
        return self.run("apply", "-auto-approve", "-input=false", "-no-color", *options)[1]

    def assert_no_drift(self) -> None:
        """A plan of what was applied changes nothing; otherwise the plan is the error's message."""
        code, plan = self.run(
            "plan", "-detailed-exitcode", "-input=false", "-no-color", "-lock=false", codes=(NO_CHANGES, CHANGES)
        )
        assert code == NO_CHANGES, f"the second plan is not empty:\n{plan}"

    def outputs(self) -> dict[str, Any]:
        """The module's outputs: name -> value."""
        answer = json.loads(self.run("output", "-json", "-no-color")[1])
        return {name: output["value"] for name, output in answer.items()}

    def destroy(self) -> None:
        self.run("destroy", "-auto-approve", "-input=false", "-no-color")


@contextlib.contextmanager
def terraform_stack(
    cloud: Cloud, directory: Path, configuration: str, variables: dict[str, Any] | None = None
) -> Iterator[TerraformStack]:
    """A stack that is initialised and not yet applied; at the end, whatever happened, all that it made is destroyed."""
    stack = TerraformStack(cloud, directory)
    stack.write(configuration)
    stack.set_variables(variables or {})
    stack.init()
    try:
        yield stack
    finally:
        stack.destroy()
