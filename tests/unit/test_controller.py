"""The loop around the reconcilers, without Docker."""

from __future__ import annotations

import threading
from unittest.mock import Mock

from localcloud.controller import Action, Controller, Observed


class Wants:
    """A reconciler that always wants the same to be done."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def reconcile(self, observed: Observed) -> list[Action]:
        return [] if self.action.key in observed.busy else [self.action]


def test_two_reconcilers_do_not_act_on_one_resource_at_once() -> None:
    docker_host = Mock()
    docker_host.containers.return_value, docker_host.networks.return_value = {}, {}
    go_on, at_work, most = threading.Event(), [0], [0]
    ended = threading.Semaphore(0)

    def work() -> None:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        go_on.wait(60)
        at_work[0] -= 1
        ended.release()

    wanted = [Wants(Action("i-1", what, work)) for what in ("stop", "create image")]
    controller = Controller(docker_host, Mock(), list(wanted))
    controller.run_pass()
    controller.run_pass()  # the first is still at it
    go_on.set()
    assert ended.acquire(timeout=60)
    assert not ended.acquire(blocking=False)
    assert most == [1]
