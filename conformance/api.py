"""The local cloud's API for moto's tests, whose machines take no time and do nothing. Prints its port.

These tests launch thousands of instances and wait for none. Its images are moto's own, which they launch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler
from werkzeug.serving import make_server

from conformance.instant_machines import InstantMachines
from localcloud import backends, overlay
from localcloud.overlay import machine_images, refusals

machine_images.IMAGE_PARAMETERS = ()  # type: ignore[assignment]  # whose images are not here elsewhere
overlay.install()
machines = InstantMachines()
api = DomainDispatcherApplication(refusals.create_app)


def handle(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    with backends.API_LOCK:
        body = list(api(environ, start_response))
        machines.finish()
    return body


logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, handle, threaded=True, request_handler=MotoRequestHandler)
print(server.server_port, flush=True)
server.serve_forever()
