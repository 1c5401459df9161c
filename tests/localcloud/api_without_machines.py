"""The local cloud's API with nothing behind it, for tests of what it answers. Prints its port."""

import os
import tempfile
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from localcloud.config import Settings
from localcloud.machine_images import MachineImages

with tempfile.TemporaryDirectory() as directory:
    # moto reads it when it is imported.
    os.environ["MOTO_AMIS_PATH"] = MachineImages(Settings(0, Path(directory))).write_amis_file()
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication

    from localcloud import overlay
    from localcloud.backends import API_LOCK
    from localcloud.overlay import refusals

overlay.install()
api = DomainDispatcherApplication(refusals.create_app)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Behind the lock, as in the local cloud's server: some requests release it for a while."""
    with API_LOCK:
        return list(api(environ, start_response))


server = make_server("127.0.0.1", 0, application, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
