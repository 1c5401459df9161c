"""Recipes that change how a deployment is reached and what it serves: that of test_interrupts.py, or a new one."""

from __future__ import annotations

import re
import shutil

import pytest
from change_it import RECIPES, Block, follow
from project_copy import PROJECT_ROOT, Project
from stack import succeeded

pytestmark = pytest.mark.story("interrupted")


@pytest.fixture(scope="module")
def deployed(interrupted: Project) -> Project:
    if not (interrupted.root / ".deploy/local/url").exists():
        succeeded(interrupted.playbook("site.yml"))
    return interrupted


def test_https_with_your_domain(deployed: Project) -> None:
    """The port is the stack's, and the certificate is the one that was handed in."""
    make, change, try_it = RECIPES["HTTPS with your domain"]
    text = make.text.replace("127.0.0.1:4566", f"127.0.0.1:{deployed.port}")
    arn = follow(deployed, Block("console", text)).splitlines()[-1]
    follow(deployed, Block("diff", re.sub("arn:aws:acm:us-east-1:.*", arn, change.text)), try_it)


def test_deploy_your_own_application(deployed: Project) -> None:
    shutil.copytree(PROJECT_ROOT / "tests/webtier/probe_app", deployed.root.parent / "shop")
    assert "nobody" in follow(deployed, *RECIPES["Deploy your own web2py application"])
    assert deployed.get("/visits").body == "1"
