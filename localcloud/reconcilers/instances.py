"""EC2 instances: a system container each, at its private address, told who it is through a cloud-init seed."""

from __future__ import annotations

import functools
import json
import logging
import time
from typing import Any

import docker.errors

from localcloud import backends
from localcloud.backends import API_LOCK
from localcloud.controller import Action, Observed
from localcloud.docker_host import Container, DockerHost, File
from localcloud.machine_images import MachineImages
from localcloud.overlay import ec2
from localcloud.overlay.ec2 import decoded_user_data, set_state
from localcloud.overlay.interfaces import mac_address
from localcloud.reconcilers import networks

LOGGER = logging.getLogger(__name__)
KIND = "instance"
SEED = "/var/lib/cloud/seed/nocloud"
STOP_TIMEOUT = 20  # seconds a machine gets to shut down before it is switched off
START_ATTEMPTS = 10  # for what may pass, such as an address whose last machine is still being removed
KEEP_TERMINATED = 3600  # seconds that a terminated instance can be described, as on AWS
CONSOLE_SIZE = 64 * 1024  # bytes of console output that the API gives
CONSOLE_LINES = 2000  # more than enough to fill them
# What Docker says when trying again can't help: a full disk, no image, no init in it, one that can't be run.
HOPELESS = ("no space left on device", "no such image", "executable file not found", "no such file or directory",
            "exec format error", "permission denied")  # fmt: skip


class Instances:
    """Runs, stops, reboots and removes the machines."""

    def __init__(self, docker_host: DockerHost, images: MachineImages) -> None:
        self._docker = docker_host
        self._images = images
        self._consoles = docker_host.settings.console_directory
        self._failed_starts: dict[str, int] = {}
        self._switched_off: set[str] = set()  # by an outage or a reboot, and not on again yet: the first try may fail
        ec2.read_consoles_with(self.console)

    def reconcile(self, observed: Observed) -> list[Action]:
        actions = []
        containers = observed.of_kind(KIND)
        known = set()
        for backend in backends.each("ec2"):
            self._forget_terminated(backend)
            for instance in backend.all_instances():
                known.add(instance.id)
                if instance.id not in observed.busy:
                    action = self._reconcile_instance(instance, containers.get(instance.id), observed)
                    if action:
                        actions.append(action)
        actions += [
            Action(instance_id, "remove what no instance stands for", self._remover(container))
            for instance_id, container in containers.items()
            if instance_id not in known
        ]
        return actions

    def _forget_terminated(self, backend: Any) -> None:
        """Drop what was terminated an hour ago, so that the state and each pass stay as small as what is there."""
        end = time.time() - KEEP_TERMINATED
        for reservation in list(backend.reservations.values()):
            for instance in list(reservation.instances):
                if instance.state == "terminated" and instance.terminated_at < end:
                    reservation.instances.remove(instance)
                    (self._consoles / instance.id).unlink(missing_ok=True)
            if not reservation.instances:
                del backend.reservations[reservation.id]

    def _reconcile_instance(self, instance: Any, container: Container | None, observed: Observed) -> Action | None:
        state = instance.state
        if container is None and (state == "stopped" or (state == "pending" and instance.has_run)):
            self._lose(instance)
            return None
        if state == "pending":
            if instance.vpc_id not in observed.networks:
                reason = networks.unavailable.get(instance.vpc_id)
                if reason is None:
                    return None  # it is being made
                return Action(instance.id, "give up", functools.partial(self._give_up, instance, reason, reason))
            return Action(instance.id, "start", functools.partial(self._start, instance, container))
        if state == "running":
            return self._reconcile_running(instance, container, observed)
        if state == "stopping":
            return Action(instance.id, "stop", functools.partial(self._stop, instance, container))
        if state == "shutting-down":
            return Action(instance.id, "terminate", functools.partial(self._terminate, instance, container))
        if state == "stopped" and container and container.running:
            return Action(instance.id, "stop", functools.partial(self._stop, instance, container))
        if state == "terminated" and container:
            return Action(instance.id, "remove", self._remover(container))
        return None

    def _lose(self, instance: Any) -> None:
        """Its machine is gone, and its disk with it: another one would not be this instance."""
        LOGGER.warning("%s: its container is gone", instance.id)
        instance.terminate()
        set_state(instance, "terminated", "Server.InternalError", "Internal error: the machine is gone")

    def _reconcile_running(self, instance: Any, container: Container | None, observed: Observed) -> Action | None:
        if container is None:
            self._lose(instance)
            return None
        if not container.running:
            if observed.after_outage:
                self._switched_off.add(instance.id)
            if instance.id in self._switched_off:
                if instance.vpc_id not in observed.networks:
                    return None  # it is made first
                return Action(
                    instance.id, "start again", functools.partial(self._switch_on, instance, container.container_id)
                )
            LOGGER.info("%s: it shut itself down", instance.id)
            reason = ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
            if instance.instance_initiated_shutdown_behavior == "terminate":
                instance.terminate()
                set_state(instance, "shutting-down", *reason)
            else:
                instance.stop()
                set_state(instance, "stopped", *reason)
            return None
        self._switched_off.discard(instance.id)
        if instance.reboots_requested:
            return Action(instance.id, "reboot", functools.partial(self._reboot, instance, container))
        return None

    # -- actions, outside the lock --------------------------------------------------------------------------------

    def _start(self, instance: Any, container: Container | None) -> None:
        try:
            self._boot(instance, container)
        except docker.errors.APIError as error:
            attempts = self._failed_starts.get(instance.id, 0) + 1
            self._failed_starts[instance.id] = attempts
            explanation = str(error.explanation or error)
            if attempts < START_ATTEMPTS and not any(text in explanation.lower() for text in HOPELESS):
                raise
            self._give_up(instance, explanation)
        else:
            with API_LOCK:
                if instance.state == "pending":  # unless it was stopped or terminated meanwhile
                    set_state(instance, "running")
        self._failed_starts.pop(instance.id, None)

    def _boot(self, instance: Any, container: Container | None) -> None:
        if container is None:
            with API_LOCK:
                request = self._launch_request(instance)
            container_id = self._docker.create_container(KIND, instance.id, **request)
        else:
            container_id = container.container_id
            with API_LOCK:
                seed = seed_files(instance)
            self._docker.put_files(container_id, seed)
        self._switch_on(instance, container_id)

    def _give_up(self, instance: Any, explanation: str, said: str = "Internal error on launch") -> None:
        """A launch that fails ends as terminated, the start of a stopped instance as stopped: its disk stays.

        `explanation` is for the log and the console, `said` is the API's state reason.
        """
        LOGGER.error("%s: it can't be started from %s: %s", instance.id, instance.image_id, explanation)
        reason = ("Server.InternalError", said)
        launch = not instance.has_run
        if launch:
            self._keep_console(instance.id, f"{explanation}\n".encode())
            self._docker.remove_container(self._docker.settings.resource_name(instance.id))
        with API_LOCK:
            if instance.state != "pending":
                return
            if launch:
                instance.terminate()
                set_state(instance, "terminated", *reason)
            else:
                instance.stop()
                set_state(instance, "stopped", *reason)

    def _launch_request(self, instance: Any) -> dict[str, Any]:
        hostname, _, domain = instance.private_dns_name.partition(".")
        return {
            "image": self._images.docker_image(instance.image_id),
            "vpc_id": instance.vpc_id,
            "ip_address": instance.private_ip,
            "hostname": hostname,
            "domain": domain,
            "aliases": [instance.private_dns_name],
            "mac_address": mac_address(instance.private_ip),
            "files": seed_files(instance),
            "tty": True,
            "system": True,
        }

    def _stop(self, instance: Any, container: Container | None) -> None:
        if container:
            self._docker.stop(container.container_id, STOP_TIMEOUT)
        with API_LOCK:
            if instance.state == "stopping":
                set_state(instance, "stopped")

    def _terminate(self, instance: Any, container: Container | None) -> None:
        if container:
            # Debian's AMIs give a machine time to shut down; its services may have work to finish.
            self._docker.stop(container.container_id, STOP_TIMEOUT)
            self._keep_console(instance.id, self._read_console(container.container_id))
            self._docker.remove_container(container.container_id)
        with API_LOCK:
            set_state(instance, "terminated")

    # -- console --------------------------------------------------------------------------------------------------

    def console(self, instance_id: str) -> bytes:
        """The end of what an instance wrote to its console, also of one that was terminated not long ago."""
        output = self._read_console(self._docker.settings.resource_name(instance_id))
        kept = self._consoles / instance_id
        return output or (kept.read_bytes() if kept.exists() else b"")

    def _read_console(self, container: str) -> bytes:
        return self._docker.console(container, CONSOLE_LINES)[-CONSOLE_SIZE:]

    def _keep_console(self, instance_id: str, output: bytes) -> None:
        self._consoles.mkdir(mode=0o700, exist_ok=True)
        (self._consoles / instance_id).write_bytes(output)

    def _reboot(self, instance: Any, container: Container) -> None:
        with API_LOCK:
            instance.reboots_requested = 0
        self._switched_off.add(instance.id)
        self._docker.stop(container.container_id, STOP_TIMEOUT)
        self._switch_on(instance, container.container_id)

    def _switch_on(self, instance: Any, container_id: str) -> None:
        """Start a machine. What it may send and receive is decided outside of it."""
        with API_LOCK:
            ec2.begin_boot(instance)
        self._docker.start(container_id)

    def _remover(self, container: Container) -> functools.partial[None]:
        return functools.partial(self._docker.remove_container, container.container_id)


def seed_files(instance: Any) -> list[File]:
    """What cloud-init reads on boot (its NoCloud data source): identity, host name, key pair, user data."""
    public_keys = []
    key_pair = instance.ec2_backend.key_pairs.get(instance.key_name)
    if key_pair and key_pair.material_public:
        public_keys.append(key_pair.material_public.decode().strip())
    meta_data = {
        "instance-id": instance.id,
        "local-hostname": instance.private_dns_name,
        "public-keys": public_keys,
    }
    user_data = decoded_user_data(instance) or b"#cloud-config\n{}\n"
    return [
        File(f"{SEED}/meta-data", json.dumps(meta_data).encode(), mode=0o600),
        File(f"{SEED}/user-data", user_data, mode=0o600),
    ]
