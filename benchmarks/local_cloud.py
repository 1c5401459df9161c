"""Measure what the local cloud takes: `python -m benchmarks.local_cloud`, some minutes.

Seconds to start, memory when idle and with instances, sizes of the images, seconds from RunInstances until SSH lets in.
On a cloud of its own, which is removed at the end. The figures go into localcloud/README.md. As root: nobody else may
read what the machines' processes take.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import docker

from benchmarks.lab import PROJECT_ROOT, LabError, wait_until
from loadtest import figures
from localcloud import base_images
from localcloud.config import DEBIAN_OWNER_ID, LABEL_PORT

PAGE = PROJECT_ROOT / "localcloud/README.md"
COMMAND = "python -m benchmarks.local_cloud"
KEY_NAME = "benchmark"
SSH_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=2")
MIB = 1 << 20

Row = tuple[str, str]


class LocalCloud:
    """One of the benchmark's own, with a VPC."""

    def __init__(self, port: int, home: Path, cidr: str) -> None:
        self._environment = {**os.environ, "LOCALCLOUD_PORT": str(port), "LOCALCLOUD_HOME": str(home)}
        self._port, self._home, self._cidr = port, home, cidr
        self._docker: Any = docker.from_env()
        self._key = home.parent / "key"
        self._request: dict[str, Any] = {}

    def run(self, command: str) -> None:
        """`python -m localcloud <command>`. Raises LabError with what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "localcloud", command],
            cwd=PROJECT_ROOT, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise LabError(f"python -m localcloud {command} failed:\n{done.stdout}{done.stderr}")

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=f"http://127.0.0.1:{self._port}",
            region_name="us-east-1",
            aws_access_key_id="benchmark",
            aws_secret_access_key="benchmark",
        )

    def prepare(self) -> None:
        """Make what instances are launched into, and with."""
        ec2 = self.client("ec2")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)
        ec2.import_key_pair(KeyName=KEY_NAME, PublicKeyMaterial=self._key.with_suffix(".pub").read_bytes())
        vpc = ec2.create_vpc(CidrBlock=self._cidr)["Vpc"]["VpcId"]
        group = ec2.create_security_group(GroupName="open", Description="open", VpcId=vpc)["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        )
        self._request = {
            "ImageId": ec2.describe_images(Owners=[DEBIAN_OWNER_ID])["Images"][0]["ImageId"],
            "InstanceType": "t3.micro",
            "KeyName": KEY_NAME,
            "SubnetId": ec2.create_subnet(VpcId=vpc, CidrBlock=self._cidr)["Subnet"]["SubnetId"],
            "SecurityGroupIds": [group],
        }

    def launch(self, count: int) -> dict[str, str]:
        """Launch instances: their ids, with their addresses."""
        answer = self.client("ec2").run_instances(**self._request, MinCount=count, MaxCount=count)
        return {instance["InstanceId"]: instance["PrivateIpAddress"] for instance in answer["Instances"]}

    def lets_in(self, address: str) -> bool:
        """Whether a command can be run on an instance by SSH."""
        options = [word for option in SSH_OPTIONS for word in ("-o", option)]
        login = ["ssh", "-i", str(self._key), *options, f"admin@{address}", "true"]
        return subprocess.run(login, capture_output=True, check=False).returncode == 0

    def terminate(self, instances: Iterable[str]) -> None:
        """Terminate instances, and wait until their containers are gone."""
        self.client("ec2").terminate_instances(InstanceIds=list(instances))
        kept = set(instances)
        wait_until(
            lambda: not any(id_ in container.name for container in self.containers() for id_ in kept), "they are gone"
        )

    def containers(self) -> list[Any]:
        found: list[Any] = self._docker.containers.list(
            filters={"label": f"{LABEL_PORT}={self._port}"}, ignore_removed=True
        )
        return found

    def memory(self) -> float:
        """Bytes that the process has for itself, with its share of what it has in common with others."""
        return proportional([int((self._home / "pid").read_text().split()[0])])

    def memory_of_machines(self) -> float:
        """The same, of all processes in containers; the page cache is not in it, which the kernel takes back."""
        processes = [
            int(line[0]) for container in self.containers() for line in container.top(ps_args="-eo pid")["Processes"]
        ]
        return proportional(processes)


def proportional(processes: Iterable[int]) -> float:
    """Bytes of processes (PSS)."""
    total = 0
    for process in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def seconds(action: Callable[[], object]) -> float:
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def measure(cloud: LocalCloud, rounds: int, instances: int) -> Iterator[Row]:
    """Each figure, as it comes."""
    starts = []
    for _round in range(rounds):
        cloud.run("down")
        starts.append(seconds(lambda: cloud.run("up")))
    yield "start, from nothing to the first answer (images built)", spread(starts)
    cloud.prepare()
    yield "memory when idle", f"{cloud.memory() / MIB:.0f} MiB"
    times = []
    for _round in range(rounds):
        begin = time.monotonic()
        launched = cloud.launch(1)
        (address,) = launched.values()
        wait_until(functools.partial(cloud.lets_in, address), f"SSH of {address} lets in")
        times.append(time.monotonic() - begin)
        cloud.terminate(launched)
    yield "RunInstances to SSH, one instance", spread(times)
    begin = time.monotonic()
    launched = cloud.launch(instances)

    def wait(address: str) -> float:
        wait_until(lambda: cloud.lets_in(address), f"SSH of {address} lets in", timeout=600)
        return time.monotonic() - begin

    with ThreadPoolExecutor(instances) as waiting:
        times = list(waiting.map(wait, launched.values()))
    first_and_last = f"{min(times):.1f} s the first, {max(times):.1f} s the last"
    yield f"RunInstances to SSH, {instances} instances at once", first_and_last
    process, machines = cloud.memory() / MIB, cloud.memory_of_machines() / MIB
    yield f"memory with {instances} instances", f"{process:.0f} MiB, and {machines:.0f} MiB of their processes"
    cloud.terminate(launched)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f} in {len(values)} runs)"


def image_sizes() -> Iterator[Row]:
    images: Any = docker.from_env().images
    for image in base_images.ALL:
        yield f"image {image.name}", f"{images.get(image.tag).attrs['Size'] / 1e6:.0f} MB"


def caption(load: float) -> str:
    """Where it was measured; whatever else the machine did makes all of it slower."""
    return (
        f"{figures.machine()}, with a load average of {load:.1f} before. Each image's size is with Debian's layer, "
        "which all share; memory is what processes have (PSS), without the page cache."
    )


def main() -> None:
    """Measure, print, write the table."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of starts, and of launches of one (default: 5)")
    parser.add_argument("--instances", type=int, default=20, help="that run at the same time (default: 20)")
    parser.add_argument("--port", type=int, default=4790, help="of the cloud (default: 4790)")
    parser.add_argument("--cidr", default="10.89.0.0/24", help="of its VPC (default: 10.89.0.0/24)")
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    base_images.build_missing()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        cloud = LocalCloud(options.port, Path(directory) / "home", options.cidr)
        try:
            for row in measure(cloud, options.rounds, options.instances):
                print(": ".join(row), flush=True)
                rows.append(row)
        finally:
            cloud.run("down")
    rows += image_sizes()
    table = ["| what | measured |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
    lines = [*table, "", caption(load)]
    print("\n".join(lines))
    if not options.no_write:
        figures.write(PAGE, COMMAND, lines)


if __name__ == "__main__":
    main()
