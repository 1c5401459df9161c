"""SSH into instances with a key pair of the tests."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from running_cloud import Cloud
from waiting import wait_until

KEY_NAME = "tests"
OPTIONS = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=10"]


class Login:
    """The user `admin` on any instance that was launched with the key pair `tests`."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self.key = directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.public_key = self.key.with_suffix(".pub").read_text().strip()
        cloud.client("ec2").import_key_pair(KeyName=KEY_NAME, PublicKeyMaterial=self.public_key.encode())

    def _ssh(self, address: str, *arguments: str) -> list[str]:
        options = [argument for option in OPTIONS for argument in ("-o", option)]
        return ["ssh", "-i", str(self.key), *options, *arguments, f"admin@{address}"]

    def run(self, address: str, command: str) -> str | None:
        """Output of a command on an instance; None while SSH does not answer. Other failures raise."""
        done = subprocess.run([*self._ssh(address), command], text=True, capture_output=True)
        if done.returncode == 255:
            return None
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait(self, address: str, command: str) -> str:
        """The same, once SSH answers."""

        def answer() -> tuple[str] | None:
            output = self.run(address, command)
            return None if output is None else (output,)

        return wait_until(answer, what=f"{address} answers")[0]

    @contextlib.contextmanager
    def tunnel(self, address: str, destination: str) -> Iterator[str]:
        """`127.0.0.1:<port>` whose connections go on from the instance to `destination` (`host:port`)."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            local = f"127.0.0.1:{probe.getsockname()[1]}"
        # cloud-init restarts sshd while an instance boots: a refused connection is tried again, once a second.
        options = ["-o", "ExitOnForwardFailure=yes", "-o", "ConnectionAttempts=30"]
        command = self._ssh(address, "-N", *options, "-L", f"{local}:{destination}")
        process = subprocess.Popen(command)
        try:
            host, port = local.split(":")

            def listens() -> bool:
                with socket.socket() as client:
                    return client.connect_ex((host, int(port))) == 0

            wait_until(listens, what=f"a tunnel through {address}")
            yield local
        finally:
            process.terminate()
            process.wait()
