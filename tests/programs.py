"""What is in the environment of programs that tests start."""

import os
from pathlib import Path

# Coverage of the project's own programs is measured when that of the tests is.
MEASURED = (
    {"COVERAGE_PROCESS_START": str(Path(__file__).parents[1] / "pyproject.toml")}
    if "COVERAGE_FILE" in os.environ
    else {}
)
_CONFIGURATION = Path(__file__).parents[1] / ".cache/terraformrc"
# As in roles/terraform_stage, which says why.
TERRAFORM = {
    "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
    "TF_IN_AUTOMATION": "1",
    "CHECKPOINT_DISABLE": "1",
    "GOGC": "off",
    "GOMEMLIMIT": "500MiB",
    **({"TF_CLI_CONFIG_FILE": str(_CONFIGURATION)} if _CONFIGURATION.exists() else {}),
}
