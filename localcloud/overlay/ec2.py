"""EC2: instances and images take time, and pass through the states that AWS shows meanwhile.

moto's instances run the moment they are asked for and its images are available at once. Here the API's request sets the
transitional state (`pending`, `stopping`, `shutting-down`), and the reconciler of the machines sets the final one.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

from moto import settings
from moto.ec2.models.amis import AmiBackend
from moto.ec2.models.instances import Instance, InstanceBackend, InstanceState, Reservation, StateReason
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.utils import parse_user_data

STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


def set_state(instance: Instance, name: str, reason_code: str = "", reason: str = "") -> None:
    """Put an instance into a state of EC2's life cycle; `reason_code` such as `Server.InternalError`."""
    instance._state = InstanceState(name, STATE_CODES[name])
    if reason_code:
        instance.state_reason = StateReason(f"{reason_code}: {reason}", reason_code)
        instance._reason = reason


def install() -> None:
    """Change moto's EC2 classes, and have it check what AWS always checks."""
    settings.ENABLE_AMI_VALIDATION = settings.ENABLE_KEYPAIR_VALIDATION = True
    settings.EC2_ENABLE_INSTANCE_TYPE_VALIDATION = True
    _install_instances()
    _install_images()
    _install_security_groups()
    _install_launch_templates()


def _install_instances() -> None:
    create, start, stop = Instance.__init__, Instance.start, Instance.stop
    terminate, reboot = Instance.terminate, Instance.reboot

    @functools.wraps(create)
    def create_pending(self: Instance, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        if not self.security_groups and self.nics:
            # Given with the network interface, which is where Terraform puts them for a public address.
            self.security_groups = list(self.nics[0].group_set)
        if self.nics:
            self.nics[0].delete_on_termination = True
        set_state(self, "pending")
        self.reboots_requested = 0  # type: ignore[attr-defined]

    @functools.wraps(start)
    def start_pending(self: Instance) -> InstanceState:
        if self.state == "running":
            return copy.copy(self._state)
        previous = start(self)
        set_state(self, "pending")
        return previous

    @functools.wraps(stop)
    def stop_stopping(self: Instance) -> InstanceState:
        if self.state in ("stopped", "stopping"):
            return copy.copy(self._state)
        previous = stop(self)
        set_state(self, "stopping")
        return previous

    @functools.wraps(terminate)
    def terminate_shutting_down(self: Instance) -> InstanceState:
        if self.state in ("shutting-down", "terminated"):
            return copy.copy(self._state)
        previous = terminate(self)
        set_state(self, "shutting-down")
        return previous

    @functools.wraps(reboot)
    def reboot_for_real(self: Instance) -> None:
        state = self._state
        reboot(self)
        self._state = state
        self.reboots_requested += 1  # type: ignore[attr-defined]

    run_instances = InstanceBackend.run_instances

    @functools.wraps(run_instances)
    def run_instances_once(self: InstanceBackend, *args: Any, **kwargs: Any) -> Reservation:
        """A request that is repeated with its client token launches nothing twice."""
        token = kwargs.get("client_token")
        for reservation in self.reservations.values() if token not in (None, "ABCDE") else ():  # moto's word for none
            if any(instance.client_token == token for instance in reservation.instances):
                return reservation
        return run_instances(self, *args, **kwargs)

    InstanceBackend.run_instances = run_instances_once  # type: ignore[method-assign]
    Instance.__init__ = create_pending  # type: ignore[method-assign]
    Instance.start = start_pending  # type: ignore[method-assign]
    Instance.stop = stop_stopping  # type: ignore[method-assign]
    Instance.terminate = terminate_shutting_down  # type: ignore[method-assign]
    Instance.reboot = reboot_for_real  # type: ignore[method-assign]


def _install_images() -> None:
    create_image, respond = AmiBackend.create_image, AmisResponse.create_image

    @functools.wraps(create_image)
    def create_pending_image(
        self: AmiBackend, instance_id: str, name: str, description: str, tag_specifications: list[dict[str, Any]]
    ) -> Any:
        # moto refuses tags for the snapshot, which AWS puts on it.
        image_tags = [spec for spec in tag_specifications if spec["ResourceType"] != "snapshot"]
        image = create_image(self, instance_id, name, description, image_tags)
        for spec in tag_specifications:
            if spec["ResourceType"] == "snapshot":
                image.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in spec["Tags"]})
        image.state = "pending"
        # What AWS copies from the instance it images.
        image.root_device_name = image.instance.root_device_name
        image.root_device_type = "ebs"
        image.reboot_instance = True  # type: ignore[attr-defined]
        return image

    @functools.wraps(respond)
    def respond_with_reboot(self: AmisResponse) -> Any:
        before = set(self.ec2_backend.amis)
        result = respond(self)
        for image_id in set(self.ec2_backend.amis) - before:
            self.ec2_backend.amis[image_id].reboot_instance = not self._get_bool_param("NoReboot", False)
        return result

    AmiBackend.create_image = create_pending_image  # type: ignore[method-assign]
    AmisResponse.create_image = respond_with_reboot  # type: ignore[method-assign]


def _install_security_groups() -> None:
    def description(self: SecurityGroupRule) -> str | None:
        """A rule's description, which moto reports for CIDR rules only."""
        sources = (self.ip_range, self.source_group or {})
        return next((source["Description"] for source in sources if source.get("Description")), None)

    SecurityGroupRule.description = property(description)  # type: ignore[assignment,method-assign]


def _install_launch_templates() -> None:
    create_version = LaunchTemplate.create_version

    @functools.wraps(create_version)
    def create_clean_version(self: LaunchTemplate, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
        # The template's own tags are not for what is launched from it; and only the first version's user data is
        # decoded by moto.
        if "TagSpecifications" in data:
            specs = [spec for spec in data["TagSpecifications"] if spec["ResourceType"] != "launch-template"]
            data = {**data, "TagSpecifications": specs}
        if isinstance(data.get("UserData"), str):
            data = {**data, "UserData": parse_user_data(data["UserData"])}
        return create_version(self, data, description)

    LaunchTemplate.create_version = create_clean_version  # type: ignore[method-assign]
