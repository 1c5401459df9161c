"""Before a load: wait until the group is whole again, so that scenarios that follow each other start from the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

# Seconds. A group of 20 that shrinks by one per cooldown of 30 s needs ten minutes.
PATIENCE = 900.0
INTERVAL = 2.0


def settle(
    look: Callable[[], Mapping[str, int]],
    size: int | None,
    *,
    interrupted: Callable[[], bool],
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[int | None, str]:
    """Wait until `size` instances (None: as many as desired) and no others are in service and healthy.

    `look` returns what `Sampler.look` does; whatever it raises is asked again. Returns the size, and what a reader of
    the result must know: that the group was not settled after `PATIENCE`, or nothing.
    """
    began = clock()
    while True:
        try:
            group = look()
            wanted = group["desired"] if size is None else size
            if wanted == group["desired"] == group["in_service"] == group["healthy"] and not group["unhealthy"]:
                return wanted, ""
            state = f"{group['in_service']} of {wanted} instances in service, {group['healthy']} healthy"
        except Exception as error:
            state = f"the group could not be looked at: {type(error).__name__}: {error}"
        if interrupted():
            return size, ""
        if clock() - began >= PATIENCE:
            return size, f"the load began although the group had not settled in {PATIENCE:.0f} s: {state}"
        say(f"waiting for the group to settle: {state}")
        sleep(INTERVAL)
