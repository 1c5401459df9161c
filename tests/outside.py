"""The world outside of a local cloud, on this machine."""

import contextlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def outside_address(port: int) -> Iterator[str]:
    """An address of this machine that is in no VPC of the local cloud on `port`: what is in one can't be reached."""
    # A network made for it: an engine that has never been restarted names no gateway for its own, the default one.
    network = f"outside-of-{port}"
    subprocess.run(["docker", "network", "rm", network], check=False, capture_output=True)  # an interrupted run's
    docker("create", network)
    try:
        yield docker("inspect", network, "--format", "{{(index .IPAM.Config 0).Gateway}}")
    finally:
        docker("rm", network)


def docker(*arguments: str) -> str:
    command = ["docker", "network", *arguments]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
