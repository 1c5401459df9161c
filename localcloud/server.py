"""The process of the local cloud: the API on loopback, and the controller beside it."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from localcloud.config import Settings
from localcloud.docker_host import DockerHost
from localcloud.machine_images import MachineImages

if TYPE_CHECKING:
    from localcloud.controller import Passes  # at run time it would bring moto, too early: see serve

LOGGER = logging.getLogger(__name__)
READY_PATH = "/localcloud/ready"  # a line `ready` and one with the home directory: whose cloud this is
PASSES_PATH = "/localcloud/passes"  # JSON: how many there were, and seconds that each of the last ones took
REFUSED_PATH = "/localcloud/refused"  # JSON: a list of service, what was asked for and is not there, how often

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. moto is imported here, after its list of AMIs is on disk."""
    settings.home.mkdir(parents=True, exist_ok=True)
    images = MachineImages(settings)
    os.environ["MOTO_AMIS_PATH"] = images.write_amis_file()

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler
    from werkzeug.serving import make_server

    from localcloud import overlay, vpc_services
    from localcloud.backends import SERVICES, STATELESS
    from localcloud.controller import Controller
    from localcloud.instance_metadata import InstanceMetadata, Tokens
    from localcloud.overlay import refusals
    from localcloud.persistence import StateStore
    from localcloud.s3_for_instances import S3ForInstances
    from localcloud.wiring import build_reconcilers

    overlay.install()
    store = StateStore(settings.state_file)
    if store.load():
        LOGGER.info("state loaded from %s", settings.state_file)
    images.offer_base_ami()
    docker_host = DockerHost(settings)
    controller = Controller(docker_host, store, build_reconcilers(docker_host, images))

    def create_app(service: Any) -> Any:
        """moto's application of a service, made with the first request to it."""
        if service not in (None, *SERVICES, *STATELESS):
            LOGGER.warning("%s: its state is not kept: it is lost with this process, and nothing is behind it", service)
        return refusals.create_app(service)

    api = DomainDispatcherApplication(create_app)
    application = _one_at_a_time(api, controller.wake, store.save, controller.passes, settings.home)
    server = make_server("127.0.0.1", settings.port, application, threaded=True, request_handler=MotoRequestHandler)

    def shut_down(_signal: int, _frame: FrameType | None) -> None:
        controller.stop()
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, shut_down)
    signal.signal(signal.SIGINT, shut_down)
    directory = settings.metadata_directory
    directory.mkdir(mode=0o700, exist_ok=True)
    metadata = InstanceMetadata(Tokens.from_file(directory / "token-key"))
    vpc_services.serve(directory, vpc_services.METADATA_SOCKET, metadata)
    vpc_services.serve(directory, vpc_services.S3_SOCKET, S3ForInstances(controller.wake, store.save))
    loop = threading.Thread(target=controller.run, name="controller")
    loop.start()
    LOGGER.info("serving AWS's API on %s", settings.endpoint)
    server.serve_forever()
    loop.join()
    store.save()


def _one_at_a_time(
    application: Application,
    changed: Callable[[], None],
    save: Callable[[], bool],
    passes: Callable[[], Passes],
    home: Path,
) -> Application:
    """moto's application behind the API lock; the controller is woken, and the state saved, after each change."""
    from localcloud.backends import API_LOCK
    from localcloud.overlay import refusals

    def handle(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == READY_PATH:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"ready\n{home}\n".encode()]
        if environ.get("PATH_INFO") == PASSES_PATH:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(asdict(passes())).encode()]
        if environ.get("PATH_INFO") == REFUSED_PATH:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps([[*what, times] for what, times in refusals.refused.most_common()]).encode()]
        with API_LOCK:
            body = list(application(environ, start_response))
        if environ.get("REQUEST_METHOD") != "GET":
            save()
            changed()
        return body

    return handle
