"""The local cloud's API where machines take no time and do nothing, for what a client is told over and over.

What was asked for is so with the next request, and the state goes to disk and comes back, after each request or after
so many. Takes the state's file and that number, prints its port.
"""

import itertools
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from conformance.instant_machines import InstantMachines
from localcloud import backends, overlay
from localcloud.persistence import StateStore

overlay.install()
machines = InstantMachines()
store = StateStore(Path(sys.argv[1]))
requests = itertools.count(1)
api = DomainDispatcherApplication(create_backend_app)


def handle(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    with backends.API_LOCK:
        body = list(api(environ, start_response))
        machines.finish()
        if next(requests) % int(sys.argv[2]) == 0 and store.save():
            store.load()
            reset_model_data()  # moto's dashboard keeps all that ever was, gigabytes by now
    return body


logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, handle, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
