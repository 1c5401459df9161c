"""Recipes that change how a deployment is reached and what it serves, on the one that test_interrupts.py leaves."""

from __future__ import annotations

import re
import shutil

import pytest
from change_it import RECIPES, Block, follow
from project_copy import PROJECT_ROOT, Project

pytestmark = pytest.mark.story("interrupted")


def test_https_with_your_domain(interrupted: Project) -> None:
    """The port is the stack's, and the certificate is the one that was handed in."""
    make, change, try_it = RECIPES["HTTPS with your domain"]
    text = make.text.replace("127.0.0.1:4566", f"127.0.0.1:{interrupted.port}")
    arn = follow(interrupted, Block("console", text)).splitlines()[-1]
    follow(interrupted, Block("diff", re.sub("arn:aws:acm:us-east-1:.*", arn, change.text)), try_it)


def test_deploy_your_own_application(interrupted: Project) -> None:
    shutil.copytree(PROJECT_ROOT / "tests/webtier/probe_app", interrupted.root.parent / "shop")
    assert "nobody" in follow(interrupted, *RECIPES["Deploy your own web2py application"])
    assert interrupted.get("/visits").body == "1"
