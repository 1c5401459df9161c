"""The programs that tests start: what is in their environment, and a role's program as a module."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bootstrap import terraform

# Coverage of the project's own programs is measured when that of the tests is.
MEASURED = (
    {"COVERAGE_PROCESS_START": str(Path(__file__).parents[1] / "pyproject.toml")}
    if "COVERAGE_FILE" in os.environ
    else {}
)
TERRAFORM = terraform.environment()
# Of no AWS account, and of nobody's files.
AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def as_module(program: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A program that is in no package, loaded anew for one test."""
    spec = importlib.util.spec_from_file_location(program.stem, program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look for the module that they are in.
    monkeypatch.setitem(sys.modules, program.stem, module)
    spec.loader.exec_module(module)
    return module
