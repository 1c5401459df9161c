"""Terraform: format, validity, and each stage's own tests (`terraform test`: plans with a mocked provider).

And checkov, which looks for what is unsafe: a finding is mended, or excused beside the resource (`#checkov:skip=`).
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = sorted(path.parent.name for path in (ROOT / "terraform").glob("*/versions.tf"))


def test_terraform_fmt(run):
    run("terraform", "fmt", "-check", "-diff", "-recursive", "terraform")


@pytest.mark.parametrize("stage", STAGES)
def test_terraform_stage(terraform_checks, stage):
    terraform_checks[stage].result()


def test_checkov(run):
    options = ["--framework", "terraform", "--compact", "--quiet", "--skip-download", "--skip-path", "/tests/"]
    said = run(".venv-checkov/bin/checkov", "--directory", "terraform", *options)
    assert "Failed checks: 0" in said
