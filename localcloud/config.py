"""Where this local cloud lives: its port, its directory, and the labels by which it knows what is its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent

LABEL_PORT = "localcloud.port"
LABEL_KIND = "localcloud.kind"
LABEL_ID = "localcloud.id"

# Debian's account: it owns the official AMIs, so the same lookup finds an image here and on AWS.
DEBIAN_OWNER_ID = "136693071363"
DNS_SUFFIX = "localcloud.internal"


@dataclass(frozen=True)
class Settings:
    """Settings of one local cloud. The port identifies it: two clouds on one machine differ in port and home."""

    port: int
    home: Path

    @classmethod
    def from_environment(cls) -> Settings:
        """Read LOCALCLOUD_PORT (default 4566) and LOCALCLOUD_HOME (default .localcloud in the project).

        Raises ValueError with what to type when the port is no port.
        """
        text = os.environ.get("LOCALCLOUD_PORT", "4566")
        if not text.isdigit() or not 1024 <= int(text) <= 65535:
            raise ValueError(f"LOCALCLOUD_PORT is {text!r}; it must be a number from 1024 to 65535, such as 4566")
        home = Path(os.environ.get("LOCALCLOUD_HOME") or PROJECT_ROOT / ".localcloud").resolve()
        return cls(port=int(text), home=home)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state_file(self) -> Path:
        return self.home / "state.pickle"

    @property
    def pid_file(self) -> Path:
        return self.home / "pid"

    @property
    def log_file(self) -> Path:
        return self.home / "log"

    @property
    def metadata_directory(self) -> Path:
        """Where the sockets of the instances' services are, and the key of the metadata service."""
        return self.home / "metadata"

    @property
    def console_directory(self) -> Path:
        """Where the console output of terminated instances is kept for a while."""
        return self.home / "consoles"

    def resource_name(self, resource_id: str) -> str:
        """Name of the container or network that stands for an AWS resource."""
        return f"localcloud-{self.port}-{resource_id}"

    @property
    def bridge_prefix(self) -> str:
        """What the names of this cloud's bridges begin with. A network device's name has 15 characters at most."""
        return f"lc{self.port}-"

    def bridge_name(self, vpc_id: str) -> str:
        """Name of the network device that is a VPC's bridge."""
        return f"{self.bridge_prefix}{vpc_id[-6:]}"

    def labels(self, kind: str, resource_id: str) -> dict[str, str]:
        return {LABEL_PORT: str(self.port), LABEL_KIND: kind, LABEL_ID: resource_id}
