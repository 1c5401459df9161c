"""How many requests may wait for a process: fewer when each takes long, so that none waits in vain.

A request that has waited for too long is refused, but by then it has cost almost as much as an answer. So what can't be
served in time has to be refused by nginx, when it comes: nginx gets no connection where the queue is full. How many
requests are served in time depends on what they cost on this host, which is found out as they come.
"""

import mmap
import struct

# Of all processes: the queue's length now, and the time of the last change.
STATE = struct.Struct("dd")


class Backlog:
    """`longest`, `shortest`: bounds of the length. `seconds`: a request may wait so long. `listen`: sets the length."""

    def __init__(self, longest, shortest, seconds, listen, now):
        self._longest, self._shortest, self._seconds, self._listen = longest, shortest, seconds, listen
        self._shared = mmap.mmap(-1, STATE.size)
        # The socket may be older than this process.
        self._set(longest, now)

    @property
    def length(self):
        return int(STATE.unpack_from(self._shared)[0])

    def note(self, arrived, now):
        """Of each request, when a process takes it. Times are in seconds."""
        length, changed = STATE.unpack_from(self._shared)
        if arrived <= changed:
            return  # It says nothing about a queue of today's length.
        waited = now - arrived
        if waited > self._seconds:
            self._change(length, length * self._seconds / 2 / waited, now)
        elif waited < self._seconds / 4 and length < self._longest:
            self._change(length, 2 * length, now)

    def _change(self, length, wanted, now):
        wanted = max(self._shortest, min(self._longest, int(wanted)))
        if wanted != length:
            self._set(wanted, now)

    def _set(self, length, now):
        STATE.pack_into(self._shared, 0, length, now)
        self._listen(length)
