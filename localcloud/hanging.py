"""An instance that hangs: its processes stand still, its machine does not. It accepts connections, and answers nobody.

Docker's own pause would be seen by the controller, as the end of the instance.
"""

from __future__ import annotations

from localcloud.config import Settings
from localcloud.docker_host import DockerHost
from localcloud.reconcilers.instances import KIND


def signal_all(settings: Settings, instance_id: str, signal: str) -> bool:
    """Send a signal (`STOP`, `CONT`) to all processes of an instance but init. False when no such instance runs."""
    host = DockerHost(settings)
    container = host.containers().get(KIND, {}).get(instance_id)
    if container is None or not container.running:
        return False
    # -1 are all but the first process and the shell that says so.
    host.execute(container.container_id, ["/bin/sh", "-c", f"kill -{signal} -1"])
    return True
