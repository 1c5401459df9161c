"""Ctrl-C in every chapter, on the local cloud: the next run finishes what was begun, and a teardown removes it.

The tests build on each other, in this order: each run is interrupted where it goes on from the one before.
"""

from __future__ import annotations

import json

import pytest
from project_copy import Project
from stack import Visitor, assert_nothing_is_left, edit, fleet, healthy_targets, succeeded, wait_until

pytestmark = pytest.mark.story

# Where a run is interrupted: a text that is in a line of its output then, and seconds after that line.
POINTS = {
    "local cloud": ("The local cloud runs", 1),
    "state": ("PLAY [State]", 1),
    "network": ("Plan: 20 to add", 3),
    "hosts, with Terraform at work in three stages": ("Making stage ec2 usually takes", 2),
    "database": ("PLAY [Database]", 4),
    "hosts, in the middle of an installation": ("The framework's directory exists", 1),
    "hosts, about to be told their database": ("PLAY [Hosts, told their database]", 2),
    "migrate, before the schema is changed": ("The application's database role exists", 0),
    "migrate, after it": ("The schema is what the application's models say", 0),
    "bake, while the host is cleaned": ("Services that write are stopped", 0.5),
    "bake, while the image is made": ("Image is available", 0.5),
    "fleet": ("to add, 0 to change", 4),
}


UNDER_WAY = 3  # the point at which three stages are half made


@pytest.mark.parametrize("chapter", list(POINTS)[: UNDER_WAY + 1])
def test_interrupt(project: Project, chapter: str) -> None:
    assert project.interrupted_playbook("site.yml", *POINTS[chapter]).returncode != 0


def test_teardown_of_what_is_half_made(project: Project) -> None:
    """Terraform is still at work on the database, the hosts and the load balancer."""
    succeeded(project.playbook("teardown.yml"))
    assert_nothing_is_left(project)


@pytest.mark.parametrize("chapter", list(POINTS)[UNDER_WAY:])
def test_interrupt_after_the_teardown(project: Project, chapter: str) -> None:
    assert project.interrupted_playbook("site.yml", *POINTS[chapter]).returncode != 0


def test_run_after_all_these_finishes(project: Project) -> None:
    succeeded(project.playbook("site.yml"))
    written = json.loads(project.get("/date_time").body)
    assert json.loads(project.get("/latest_date_time").body) == written


def test_run_after_that_changes_nothing(project: Project) -> None:
    assert succeeded(project.playbook("site.yml")).changed == 0


def test_interrupted_refresh_is_finished_by_the_next_run(project: Project) -> None:
    edit(project.root / "files/web2py_app/views/default/index.html", "<title>web2py", "<title>Changed: web2py")
    before = set(fleet(project))
    with Visitor(project) as visitor:
        run = project.interrupted_playbook("site.yml", "The instance refresh has ended", 2)
        assert run.returncode != 0
        succeeded(project.playbook("site.yml"))
    assert visitor.failures == []
    assert "<title>Changed: " in project.get("/").body
    # A refresh is over when the new ones serve; the last old one may still be on its way out.
    wait_until(lambda: before.isdisjoint(fleet(project)), 60, "the old instances are gone")
    assert healthy_targets(project) == set(fleet(project))


def test_interrupted_teardown_is_finished_by_the_next(project: Project) -> None:
    run = project.interrupted_playbook("teardown.yml", "Resources are removed", 4)
    assert run.returncode != 0
    succeeded(project.playbook("teardown.yml"))
    assert_nothing_is_left(project)
