"""A plugin of pytest: a mock of moto's that a failed set-up left behind does not spoil the tests that follow.

moto's server is told to forget everything when the first mock begins and when the last one ends. A class whose set-up
fails never ends the one it began, so no later test would begin anew.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from moto.core.models import ServerModeMockAWS

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if call.when == "setup":
        item.stash[FAILED] = report.failed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    result = yield
    if item.stash.get(FAILED, False):
        ServerModeMockAWS._nested_count = 0
        ServerModeMockAWS._mocks_active = False
    return result
