"""The services of AWS that instances reach in their VPC: the metadata service, and S3.

A HAProxy on each VPC's network passes their requests on to this process over a Unix socket (`reconcilers/metadata.py`).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, make_server

METADATA_SOCKET, S3_SOCKET = "imds.sock", "s3.sock"


def serve(directory: Path, name: str, application: Callable[..., Iterable[bytes]]) -> BaseWSGIServer:
    """Answer with this WSGI application on a Unix socket in `directory`, in threads of its own."""
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / name).unlink(missing_ok=True)
    # A socket's path may have 107 bytes; through the directory's descriptor it is short wherever the project lies.
    descriptor = os.open(directory, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{descriptor}/{name}")
            listener.listen(64)
            server = make_server(f"unix://{name}", 0, application, threaded=True, fd=listener.fileno())
    finally:
        os.close(descriptor)
    threading.Thread(target=server.serve_forever, name=name, daemon=True).start()
    return server
