"""Terraform: format, validity, and each stage's own tests (`terraform test`: plans with a mocked provider)."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = sorted(path.parent.name for path in (ROOT / "terraform").glob("*/versions.tf"))
CACHE = ROOT / ".cache"


@pytest.fixture(scope="module")
def terraform(run):
    """Run Terraform for a stage with working files of its own, so that neither git nor a deployment sees them."""
    plugins = CACHE / "terraform-plugins"
    plugins.mkdir(parents=True, exist_ok=True)

    def runner(stage, *arguments):
        return run(
            "terraform",
            f"-chdir=terraform/{stage}",
            *arguments,
            TF_DATA_DIR=str(CACHE / "terraform-lint" / stage),
            TF_PLUGIN_CACHE_DIR=str(plugins),
            TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE="1",
            TF_IN_AUTOMATION="1",
            CHECKPOINT_DISABLE="1",
        )

    return runner


def test_terraform_fmt(run):
    run("terraform", "fmt", "-check", "-diff", "-recursive", "terraform")


@pytest.mark.parametrize("stage", STAGES)
def test_terraform_stage(terraform, stage):
    terraform(stage, "init", "-backend=false", "-input=false", "-no-color")
    terraform(stage, "validate", "-no-color")
    terraform(stage, "test", "-no-color")
