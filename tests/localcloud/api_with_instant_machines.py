"""The local cloud's API where machines take no time and do nothing, for what a client is told over and over.

What was asked for is so with the next request, and after each the state goes to disk and comes back. Takes the state's
file, prints its port.
"""

import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from localcloud import backends, overlay
from localcloud.controller import Observed
from localcloud.overlay.ec2 import set_state
from localcloud.overlay.interfaces import delete_interface
from localcloud.persistence import StateStore
from localcloud.reconcilers.autoscaling import AutoScalingGroups

INSTANCES = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
DATABASES = {
    "creating": "available",
    "modifying": "available",
    "rebooting": "available",
    "resetting-master-credentials": "available",
    "starting": "available",
    "stopping": "stopped",
}


def finish() -> None:
    """Bring everything into the state that it is on the way to."""
    groups.reconcile(Observed({}, {}))
    for ec2 in backends.each("ec2"):
        for instance in ec2.all_instances():
            if instance.state in INSTANCES:
                set_state(instance, INSTANCES[instance.state])
        for image in ec2.amis.values():
            image.state = "available"
    for rds in backends.each("rds"):
        for name, database in list(rds.databases.items()):
            if database.status == "deleting":
                delete_interface(database.interface)
                del rds.databases[name]
            database.status = DATABASES.get(database.status, database.status)
        for snapshot in rds.database_snapshots.values():
            snapshot.status = "available"


overlay.install()
groups = AutoScalingGroups()
store = StateStore(Path(sys.argv[1]))
api = DomainDispatcherApplication(create_backend_app)


def handle(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    with backends.API_LOCK:
        body = list(api(environ, start_response))
        finish()
        if store.save():
            store.load()
            reset_model_data()  # moto's dashboard keeps all that ever was, gigabytes by now
    return body


logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, handle, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
