"""Each role's molecule scenarios: `molecule test` in its directory, as somebody who changes the role would type it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROLES = Path(__file__).resolve().parents[2] / "roles"
# uWSGI is compiled once on a machine. What needs none comes first: another group of tests does it meanwhile.
WITHOUT_UWSGI = {"nginx", "web2py"}
# A minute, most of it the container's boot: it shows in the main job that roles can be tried alone at all.
QUICKEST = ROLES / "nginx/molecule/default"
SCENARIOS = sorted(
    (path.parent for path in ROLES.glob("*/molecule/*/molecule.yml")),
    key=lambda scenario: (scenario.parents[1].name not in WITHOUT_UWSGI, scenario),
)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(
            scenario,
            id=f"{scenario.parents[1].name}-{scenario.name}",
            marks=[pytest.mark.essential] if scenario == QUICKEST else [],
        )
        for scenario in SCENARIOS
    ],
)
def test_scenario(scenario: Path, tmp_path: Path) -> None:
    programs = Path(sys.executable).parent
    done = subprocess.run(
        [programs / "molecule", "test", "--scenario-name", scenario.name],
        cwd=scenario.parents[1],
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "ROLE_TEST_HOST": f"molecule-host-{os.getpid()}",
            "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path),
            "NO_COLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(done.stdout[-8000:], pytrace=False)
