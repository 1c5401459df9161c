"""The story on the local cloud, last part: to nothing again."""

from __future__ import annotations

import pytest
from project_copy import Project
from stack import assert_nothing_is_left, succeeded

pytestmark = pytest.mark.story("story")


def test_interrupt(story: Project) -> None:
    assert story.interrupted_playbook("teardown.yml", "Resources are removed", 4).returncode != 0


def test_teardown_leaves_nothing(story: Project) -> None:
    succeeded(story.playbook("teardown.yml"))
    assert_nothing_is_left(story)


def test_second_teardown_has_nothing_to_do(story: Project) -> None:
    assert succeeded(story.playbook("teardown.yml")).changed == 0
