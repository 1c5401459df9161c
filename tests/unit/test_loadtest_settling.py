"""Before a load the group is whole, and as large as it was before the first scenario; and what becomes of an error."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loadtest import cli
from loadtest.settling import INTERVAL, PATIENCE, settle


def group(desired: int, in_service: int, healthy: int, unhealthy: int = 0) -> dict[str, int]:
    return {"desired": desired, "in_service": in_service, "healthy": healthy, "unhealthy": unhealthy, "minimum": 1}


def wait(
    looks: Iterator[Any], size: int | None = None, interrupted: Callable[[], bool] = lambda: False
) -> tuple[int | None, str, float, list[str]]:
    """The size, the note, the seconds that it took and what was said."""
    now = [0.0]
    said: list[str] = []

    def look() -> dict[str, int]:
        answer = next(looks)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def sleep(seconds: float) -> None:
        now[0] += seconds

    found, note = settle(look, size, interrupted=interrupted, say=said.append, clock=lambda: now[0], sleep=sleep)
    return found, note, now[0], said


def always(answer: object) -> Iterator[object]:
    while True:
        yield answer


def test_a_whole_group_is_not_waited_for() -> None:
    assert wait(iter([group(2, 2, 2)])) == (2, "", 0.0, [])


def test_a_group_that_is_changing_is_waited_for() -> None:
    looks = [group(2, 3, 2), group(2, 2, 1), ConnectionError("no answer"), group(2, 2, 2, unhealthy=1), group(2, 2, 2)]
    size, note, seconds, said = wait(iter(looks))
    assert (size, note, seconds) == (2, "", 4 * INTERVAL)
    assert said[0] == "waiting for the group to settle: 3 of 2 instances in service, 2 healthy"
    assert "ConnectionError: no answer" in said[2]


def test_the_next_scenario_begins_with_as_many_as_the_first() -> None:
    size, note, seconds, _said = wait(iter([group(11, 11, 11), group(6, 6, 6), group(1, 1, 1)]), size=1)
    assert (size, note, seconds) == (1, "", 2 * INTERVAL)


def test_a_group_that_never_settles_is_loaded_and_the_result_says_so() -> None:
    size, note, seconds, _said = wait(always(group(11, 11, 11)), size=1)
    assert (size, seconds) == (1, PATIENCE)
    assert "had not settled in 900 s: 11 of 1 instances in service, 11 healthy" in note


def test_ctrl_c_ends_the_waiting() -> None:
    assert wait(always(group(2, 1, 1)), interrupted=lambda: True) == (None, "", 0.0, [])


def test_what_breaks_is_not_taken_for_a_missed_slo(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken(_environment: str, _url: str, **_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(cli.target, "load", broken)
    assert cli.main(["run", "burst"]) == 2
    assert "no space left on device" in capsys.readouterr().err
