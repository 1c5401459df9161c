"""A browser's end of a websocket (RFC 6455), as far as tests need it."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT = 1


class Socket:
    """The answer to its handshake is in `status` and `headers`."""

    def __init__(self, address: str, path: str, **headers: str) -> None:
        self._connection = socket.create_connection((address, 80), timeout=30)
        self._stream = self._connection.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        asked = {
            "Host": "realtime.example",
            "Origin": "http://realtime.example",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items()), "", ""]
        self._connection.sendall("\r\n".join(lines).encode())
        self.status = int(self._stream.readline().split()[1])
        rows = iter(lambda: self._stream.readline().decode().strip(), "")
        self.headers = {name.lower(): value for name, value in (row.split(": ", 1) for row in rows)}
        self.accepted = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()  # noqa: S324 -- RFC 6455

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.close()
        self._connection.close()

    def send(self, text: str) -> None:
        """A masked frame of at most 125 bytes."""
        data, mask = text.encode(), os.urandom(4)
        masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(data))
        self._connection.sendall(struct.pack("!BB", 0x80 | TEXT, 0x80 | len(data)) + mask + masked)

    def receive(self) -> str:
        kind, length = struct.unpack("!BB", self._stream.read(2))
        assert kind == 0x80 | TEXT
        if length == 126:
            (length,) = struct.unpack("!H", self._stream.read(2))
        return str(self._stream.read(length).decode())
