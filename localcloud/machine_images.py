"""Which Docker image stands for an AMI, and the AMI that stands for the base image."""

from __future__ import annotations

import json
from typing import Any

from moto.core.utils import utcnow

from localcloud import backends
from localcloud.base_images import HOST, BaseImage
from localcloud.config import DEBIAN_OWNER_ID, Settings


class MachineImages:
    def __init__(self, settings: Settings, host_image: BaseImage = HOST) -> None:
        self._settings = settings
        self._host_image = host_image

    @property
    def base_ami_id(self) -> str:
        """Id of the base AMI. It follows from the image's content: a new base image is a new AMI, as with Debian's."""
        return f"ami-0{self._host_image.digest[:16]}"

    @property
    def repository(self) -> str:
        """Docker repository of the images that CreateImage made."""
        return f"localcloud-{self._settings.port}/ami"

    def docker_image(self, ami_id: str) -> str:
        return self._host_image.tag if ami_id == self.base_ami_id else f"{self.repository}:{ami_id}"

    def base_ami(self) -> dict[str, Any]:
        """The base AMI in the form of moto's `MOTO_AMIS_PATH`."""
        return {
            "ami_id": self.base_ami_id,
            "name": f"debian-13-amd64-localcloud-{self._host_image.digest[:8]}",
            "description": "Debian 13 (amd64), the local cloud's machine image",
            "owner_id": DEBIAN_OWNER_ID,
            "image_location": f"{DEBIAN_OWNER_ID}/debian-13-amd64-localcloud",
            "public": True,
            "architecture": "x86_64",
            "virtualization_type": "hvm",
            "hypervisor": "xen",
            "root_device_name": "/dev/xvda",
            "root_device_type": "ebs",
            "creation_date": "2026-01-01T00:00:00.000Z",
        }

    def write_amis_file(self) -> str:
        """Write moto's list of AMIs; returns its path. moto reads it when it is imported."""
        path = self._settings.home / "amis.json"
        path.write_text(json.dumps([self.base_ami()]))
        return str(path)

    def offer_base_ami(self) -> None:
        """Add the base AMI to regions whose state was loaded from disk: they may know only an older one."""
        from moto.ec2.models.amis import Ami

        with backends.API_LOCK:
            for backend in backends.each("ec2"):
                if self.base_ami_id not in backend.amis:
                    ami = {**self.base_ami(), "creation_date": utcnow()}
                    backend.amis[self.base_ami_id] = Ami(backend, **ami)

    def known_tags(self) -> set[str]:
        """Docker tags of all images that the API knows. Under the API lock."""
        return {self.docker_image(ami_id) for backend in backends.each("ec2") for ami_id in backend.amis}
