"""The volumes that an instance begins with: those of its image, changed by what its launch says.

moto gives an instance whose launch names no volume a disk of its own idea, refuses a mapping without a size, and drops
throughput, IOPS and a launch template's tags.
"""

from __future__ import annotations

import functools
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, MissingParameterError
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import GP3_DEFAULT_IOPS, Volume, VolumeAttachment
from moto.ec2.models.instances import Instance
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.utils import convert_tag_spec

BASE_IMAGE_SIZE = 8  # GiB, as Debian's own
IMAGE_VOLUME_TYPE = "gp3"
IO_DEFAULT_IOPS = 3000  # of a volume that becomes an io1 or io2
GP3_DEFAULT_THROUGHPUT = 125  # MiB/s
# What CreateVolume takes of a mapping's Ebs: its names and moto's.
VOLUME_PARAMETERS = {
    "Encrypted": "encrypted",
    "Iops": "iops",
    "KmsKeyId": "kms_key_id",
    "SnapshotId": "snapshot_id",
    "Throughput": "throughput",
    "VolumeSize": "size",
    "VolumeType": "volume_type",
}

Mapping = dict[str, Any]  # a BlockDeviceMapping of EC2's API


def merge(*layers: list[Mapping]) -> list[Mapping]:
    """The volumes of an image, changed device by device by each later layer (a launch template's, the request's).

    Raises EC2's MissingParameter for a volume that has neither a size nor a snapshot.
    """
    devices: dict[str, dict[str, Any]] = {}
    for mapping in (mapping for layer in layers for mapping in layer):
        name = mapping["DeviceName"]
        if mapping.get("NoDevice") not in (None, False):
            devices.pop(name, None)
        elif mapping.get("Ebs"):
            given = {key: value for key, value in mapping["Ebs"].items() if value is not None}
            devices[name] = {"DeleteOnTermination": False, **devices.get(name, {}), **given}
    for ebs in devices.values():
        if not ebs.get("VolumeSize") and not ebs.get("SnapshotId"):
            raise MissingParameterError("size or snapshotId")
    return [{"DeviceName": name, "Ebs": ebs} for name, ebs in devices.items()]


def launch_mappings(
    backend: Any, image_id: str | None, template: dict[str, Any], requested: list[Mapping]
) -> list[Mapping]:
    """The volumes that a launch gives each of its instances.

    Raises EC2's InvalidBlockDeviceMapping for one that is smaller than its snapshot.
    """
    images = backend.describe_images(ami_ids=[image_id or template.get("ImageId")])
    mappings = merge(
        images[0].block_device_mappings if images else [], template.get("BlockDeviceMappings") or [], requested
    )
    for ebs in (mapping["Ebs"] for mapping in mappings):
        least = backend.get_snapshot(ebs["SnapshotId"]).volume_size if ebs.get("SnapshotId") else 0
        if int(ebs.get("VolumeSize") or least) < least:
            raise EC2ClientError(
                "InvalidBlockDeviceMapping",
                f"Volume of size {ebs['VolumeSize']}GB is smaller than snapshot '{ebs['SnapshotId']}', "
                f"expect size >= {least}GB",
            )
    return mappings


def attach(instance: Any, mappings: list[Mapping], tags: dict[str, str]) -> None:
    """Make an instance's first volumes."""
    backend = instance.ec2_backend
    for mapping in mappings:
        ebs = mapping["Ebs"]
        parameters = {VOLUME_PARAMETERS[key]: value for key, value in ebs.items() if key in VOLUME_PARAMETERS}
        volume = backend.create_volume(**{"size": None, **parameters}, zone_name=instance.availability_zone)
        volume.add_tags(tags)
        backend.attach_volume(volume.id, instance.id, mapping["DeviceName"], ebs["DeleteOnTermination"])


def volume_tags(template: dict[str, Any], requested: dict[str, str]) -> dict[str, str]:
    of_template = convert_tag_spec(template.get("TagSpecifications") or []).get("volume", {})
    return {**of_template, **requested}


def install() -> None:
    """Change moto's volumes and the images that they are made from."""
    _install_images()
    _install_volumes()

    def parse_block_device_mapping(self: InstanceResponse) -> list[Mapping]:
        """All of what was given; moto drops what it doesn't know, and asks for sizes that the image has."""
        mappings: list[Mapping] = self._get_param("BlockDeviceMappings", [])
        return mappings

    InstanceResponse._parse_block_device_mapping = parse_block_device_mapping  # type: ignore[method-assign]


def _install_images() -> None:
    create = Ami.__init__

    @functools.wraps(create)
    def create_sized(self: Ami, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        instance: Instance | None = kwargs.get("instance")
        root = instance.block_device_mapping.get(instance.root_device_name) if instance else None
        self.ebs_snapshot.volume.size = root.size if root else BASE_IMAGE_SIZE

    def block_device_mappings(self: Ami) -> list[Mapping]:
        ebs = {
            "DeleteOnTermination": True,
            "SnapshotId": self.ebs_snapshot.id,
            "VolumeSize": self.ebs_snapshot.volume_size,
            "VolumeType": IMAGE_VOLUME_TYPE,
            "Encrypted": self.ebs_snapshot.encrypted,
        }
        return [{"DeviceName": self.root_device_name, "Ebs": ebs}]

    Ami.__init__ = create_sized  # type: ignore[method-assign]
    Ami.block_device_mappings = property(block_device_mappings)  # type: ignore[method-assign,assignment]


def _install_volumes() -> None:
    create, modify = Volume.__init__, Volume.modify

    @functools.wraps(create)
    def create_complete(self: Volume, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        _complete(self)

    @functools.wraps(modify)
    def modify_complete(
        self: Volume, target_size: int | None = None, target_volume_type: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        if target_volume_type and target_volume_type != self.volume_type:
            self.iops = self.throughput = None
        modify(self, target_size, target_volume_type, *args, **kwargs)
        _complete(self)
        if self.volume_type in ("io1", "io2"):  # made of another type, without a number
            self.iops = self.iops or IO_DEFAULT_IOPS
        mapping = self.attachment.instance.block_device_mapping if self.attachment else {}
        for device in mapping.values():
            if device.volume_id == self.id:
                device.size = self.size

    def attach_volume(self: ElasticBlockStore) -> ActionResult:
        """A container gets no disk while it runs, and an attachment without one would be found out much later."""
        self.error_on_dryrun()
        raise EC2ClientError("UnsupportedOperation", "The local cloud attaches no volumes beside the root volume.")

    def delete_on_termination(self: VolumeAttachment) -> bool:
        return any(
            device.delete_on_termination
            for device in self.instance.block_device_mapping.values()
            if device.volume_id == self.volume_id
        )

    VolumeAttachment.delete_on_termination = property(delete_on_termination)  # type: ignore[attr-defined]
    Volume.__init__ = create_complete  # type: ignore[method-assign]
    Volume.modify = modify_complete  # type: ignore[method-assign]
    ElasticBlockStore.attach_volume = attach_volume  # type: ignore[method-assign]


def _complete(volume: Volume) -> None:
    """What AWS says of a volume's performance where nothing was asked for."""
    if volume.volume_type == "gp2":
        volume.iops = min(max(100, 3 * int(volume.size)), 16000)
    elif volume.volume_type == "gp3":
        volume.iops = volume.iops or GP3_DEFAULT_IOPS
        volume.throughput = volume.throughput or GP3_DEFAULT_THROUGHPUT
