"""Answers that are larger than what a host has of memory to spare, and requests."""

import hashlib
import os

STATE = os.path.join(request.folder, "databases")


def stream():
    return response.stream(os.path.join(STATE, "large"))


def generate():
    """So many MiB under a name, made while they are sent."""
    response.headers["Content-Type"] = "application/octet-stream"
    return pieces(int(request.args(0)), os.path.join(STATE, request.args(1)))


def pieces(number, name):
    """How far it has come is the length of a file, and that it has come to its end, or was stopped, is another file."""
    try:
        with open(name + ".sent", "wb", buffering=0) as sent:
            for _ in range(number):
                yield b"x" * 1024 * 1024
                sent.write(b".")
    finally:
        open(name + ".over", "wb").close()


def digest():
    """Of the request's body."""
    found = hashlib.sha256()
    for piece in iter(lambda: request.body.read(65536), b""):
        found.update(piece)
    return found.hexdigest()
