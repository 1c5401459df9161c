"""The local cloud's API with nothing behind it, for tests of what it answers. Prints its port."""

import os
import tempfile
from pathlib import Path

from werkzeug.serving import make_server

from localcloud.config import Settings
from localcloud.machine_images import MachineImages

with tempfile.TemporaryDirectory() as directory:
    # moto reads it when it is imported.
    os.environ["MOTO_AMIS_PATH"] = MachineImages(Settings(0, Path(directory))).write_amis_file()
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from localcloud import overlay

overlay.install()
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
