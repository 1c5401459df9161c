"""EC2: instances and images take time, and pass through the states that AWS shows meanwhile.

moto's instances run the moment they are asked for and its images are available at once. Here the API's request sets the
transitional state (`pending`, `stopping`, `shutting-down`), and the reconciler of the machines sets the final one.
"""

from __future__ import annotations

import base64
import copy
import functools
import time
from collections.abc import Callable
from typing import Any

from moto import settings
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, OperationNotPermitted4
from moto.ec2.models.amis import AmiBackend
from moto.ec2.models.instances import (
    Instance,
    InstanceBackend,
    InstanceState,
    MetadataOptions,
    Reservation,
    StateReason,
)
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.monitoring import Monitoring

from localcloud.backends import without_lock
from localcloud.overlay import block_devices
from localcloud.overlay.interfaces import free_addresses, no_free_address

USER_DATA_LIMIT = 16384  # bytes, before it is encoded
STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


INITIALIZING, OK, IMPAIRED = "initializing", "ok", "impaired"  # of an instance's status check

# Reads the end of an instance's console output. Put in place by the reconciler of the machines.
ConsoleReader = Callable[[str], bytes]
_console_reader: list[ConsoleReader] = []


def read_consoles_with(reader: ConsoleReader) -> None:
    _console_reader[:] = [reader]


def decoded_user_data(instance: Any) -> bytes:
    """User data as it was before it was encoded for the API."""
    return decode_user_data(instance.user_data) if instance.user_data else b""


def decode_user_data(encoded: Any) -> bytes:
    """From moto's own base64 type (of RunInstances) or a string (of a launch template)."""
    return base64.b64decode(encoded if isinstance(encoded, str) else encoded.as_bytes())


def begin_boot(instance: Any) -> None:
    """The machine is being switched on: its status checks begin anew."""
    instance.status_check = INITIALIZING
    instance.booting_since = time.time()


def set_state(instance: Instance, name: str, reason_code: str = "", reason: str = "") -> None:
    """Put an instance into a state of EC2's life cycle; `reason_code` such as `Server.InternalError`."""
    instance._state = InstanceState(name, STATE_CODES[name])
    if name == "running":
        instance.has_run = True  # type: ignore[attr-defined]
    if name == "terminated":
        instance.terminated_at = time.time()  # type: ignore[attr-defined]
        _release_interfaces(instance)
    if reason_code:
        instance.state_reason = StateReason(f"{reason_code}: {reason}", reason_code)
        instance._reason = reason


def _release_interfaces(instance: Instance) -> None:
    """Those that outlive their instance are there for another."""
    for interface in instance.nics.values():
        if interface.instance is instance:
            interface.instance = interface.attachment_id = interface.attach_time = interface.device_index = None
            interface.status = "available"


def install() -> None:
    """Change moto's EC2 classes, and have it check what AWS always checks."""
    settings.ENABLE_AMI_VALIDATION = settings.ENABLE_KEYPAIR_VALIDATION = True
    settings.EC2_ENABLE_INSTANCE_TYPE_VALIDATION = True
    _install_instances()
    _install_requests()
    _install_status()
    _install_metadata_options()
    _install_monitoring()
    _install_console()
    _install_images()
    _install_security_groups()


def _install_instances() -> None:
    # Of instances whose state an older version of this program saved.
    older: Any = Instance
    older.status_check, older.booting_since, older.has_run, older.terminated_at = INITIALIZING, 0.0, True, 0.0
    create, start, stop = Instance.__init__, Instance.start, Instance.stop
    terminate, reboot = Instance.terminate, Instance.reboot

    @functools.wraps(create)
    def create_pending(self: Instance, *args: Any, **kwargs: Any) -> None:
        try:
            create(self, *args, **kwargs)
        except Exception:
            for address in self.__dict__.get("_private_ips", ()):
                self.ec2_backend.get_subnet(self.subnet_id).del_subnet_ip(address)
            raise
        if not self.security_groups and self.nics:
            # Given with the network interface, which is where Terraform puts them for a public address.
            self.security_groups = list(self.nics[0].group_set)
        existing, primary = _primary_interface(kwargs)
        if existing:
            self._placement.zone = self.nics[0].subnet.availability_zone
        elif self.nics and primary.get("DeleteOnTermination") is None:
            self.nics[0].delete_on_termination = True
        set_state(self, "pending")
        begin_boot(self)
        self.has_run = False  # type: ignore[attr-defined]
        self.reboots_requested = 0  # type: ignore[attr-defined]

    @functools.wraps(start)
    def start_pending(self: Instance) -> InstanceState:
        if self.state in ("running", "pending"):
            return copy.copy(self._state)
        previous = start(self)
        self.launch_time = utcnow()
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
        for address in self.ec2_backend.addresses:  # an Elastic IP address stays, for another instance
            if address.instance is self or address.eni in self.nics.values():
                address.instance = address.eni = address.association_id = None
        set_state(self, "shutting-down")
        return previous

    @functools.wraps(reboot)
    def reboot_for_real(self: Instance) -> None:
        state = self._state
        reboot(self)
        self._state = state
        self.reboots_requested += 1  # type: ignore[attr-defined]

    def keep_address(self: Instance) -> None:
        """moto gives an instance's address back when the object is dropped, which may be after another got it."""

    Instance.__del__ = keep_address  # type: ignore[method-assign]
    Instance.__init__ = create_pending  # type: ignore[method-assign]
    Instance.start = start_pending  # type: ignore[method-assign]
    Instance.stop = stop_stopping  # type: ignore[method-assign]
    Instance.terminate = terminate_shutting_down  # type: ignore[method-assign]
    Instance.reboot = reboot_for_real  # type: ignore[method-assign]


def _install_requests() -> None:
    run_instances, respond = InstanceBackend.run_instances, InstanceResponse.run_instances
    set_groups = InstanceResponse._security_grp_instance_attribute_handler
    start, stop = InstanceBackend.start_instances, InstanceBackend.stop_instances
    reboot, terminate = InstanceBackend.reboot_instances, InstanceBackend.terminate_instances

    @functools.wraps(run_instances)
    def run_instances_whole(self: InstanceBackend, image_id: str, count: int, *args: Any, **kwargs: Any) -> Reservation:
        """All of a request's instances or none; a request that is repeated with its client token launches nothing."""
        token = kwargs.get("client_token")
        for reservation in self.reservations.values() if token not in (None, "ABCDE") else ():  # moto's word for none
            if any(instance.client_token == token for instance in reservation.instances):
                return reservation
        user_data = args[0] if args else kwargs.get("user_data")
        if user_data and len(decode_user_data(user_data)) > USER_DATA_LIMIT:
            raise EC2ClientError("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")
        template = _template_data(self, kwargs)
        kwargs["metadata_options"] = {**template.get("MetadataOptions", {}), **(kwargs.get("metadata_options") or {})}
        subnet = _launch_subnet(self, kwargs, template)
        if subnet is not None and free_addresses(subnet) < count:
            raise no_free_address(subnet)
        mappings = block_devices.launch_mappings(self, image_id, template, kwargs.pop("block_device_mappings", []))
        tags = block_devices.volume_tags(template, kwargs.get("tags", {}).get("volume", {}))
        known = set(self.reservations)
        try:
            # moto makes no volumes of its own for an empty list.
            reservation = run_instances(self, image_id, count, *args, block_device_mappings=[], **kwargs)
            for instance in reservation.instances:
                block_devices.attach(instance, mappings, tags)
        except Exception:
            for reservation_id in set(self.reservations) - known:
                for instance in self.reservations[reservation_id].instances:
                    instance.terminate()
                    set_state(instance, "terminated")
                del self.reservations[reservation_id]
            raise
        return reservation

    @functools.wraps(respond)
    def respond_to_run(self: InstanceResponse) -> Any:
        least, most = self._get_int_param("MinCount", 1), self._get_int_param("MaxCount", 1)
        if not 1 <= least <= most:
            raise EC2ClientError(
                "InvalidParameterValue", f"Invalid value '{most}' for maxCount. Must be at least minCount ({least})."
            )
        backend = self.ec2_backend
        launch = {
            "subnet_id": self._get_param("SubnetId"),
            "nics": self._get_param("NetworkInterfaces", []),
            "launch_template": self._get_param("LaunchTemplate", {}),
            "placement": self._get_param("Placement.AvailabilityZone"),
        }
        template = _template_data(backend, launch)
        _check_interfaces({**template, **self._get_params()})
        subnet = _launch_subnet(backend, launch, template)
        count = most if subnet is None else max(least, min(most, free_addresses(subnet)))
        get = self._get_param
        # moto launches as many as MinCount says; AWS as many as there is room for, up to MaxCount.
        self._get_param = lambda name, *rest, **named: (  # type: ignore[method-assign]
            str(count) if name == "MinCount" else get(name, *rest, **named)
        )
        known = set(backend.reservations)
        result = respond(self)
        protected = get("DisableApiTermination", template.get("DisableApiTermination", False))
        profile = {} if get("IamInstanceProfile") else template.get("IamInstanceProfile") or {}
        for reservation_id in set(backend.reservations) - known:
            for number, instance in enumerate(backend.reservations[reservation_id].instances):
                instance.disable_api_termination = _is_true(protected)
                # moto gives the profile to the first instance only.
                of_request = get("IamInstanceProfile") if number else profile
                if of_request:
                    backend.associate_iam_instance_profile(
                        instance_id=instance.id,
                        iam_instance_profile_name=of_request.get("Name"),
                        iam_instance_profile_arn=of_request.get("Arn"),
                    )
        return result

    @functools.wraps(set_groups)
    def set_groups_if_given(self: InstanceResponse) -> bool:
        """moto takes an attribute that it doesn't know for an empty list of security groups."""
        behavior = self._get_param("InstanceInitiatedShutdownBehavior.Value")
        if behavior is not None:
            self.ec2_backend.modify_instance_attribute(
                self._get_param("InstanceId"), "instance_initiated_shutdown_behavior", behavior
            )
        return set_groups(self) if self._get_param("Groups", []) else True

    @functools.wraps(start)
    def start_instances(self: Any, instance_ids: list[str]) -> Any:
        for instance in self.get_multi_instances_by_id(instance_ids):
            if instance.state in ("stopping", "shutting-down", "terminated"):
                raise _incorrect_state(f"The instance '{instance.id}' is not in a state from which it can be started.")
        return start(self, instance_ids)

    @functools.wraps(stop)
    def stop_instances(self: Any, instance_ids: list[str]) -> Any:
        for instance in self.get_multi_instances_by_id(instance_ids):
            if instance.state == "pending":
                raise _incorrect_state(
                    f"Instance '{instance.id}' cannot be stopped as it has never reached the 'running' state."
                )
            if instance.state in ("shutting-down", "terminated"):
                raise _incorrect_state(f"This instance '{instance.id}' is not in a state from which it can be stopped.")
            if _is_true(instance.disable_api_stop):
                raise EC2ClientError(
                    "OperationNotPermitted",
                    f"The instance '{instance.id}' may not be stopped. Modify its 'disableApiStop' instance attribute "
                    "and try again.",
                )
        return stop(self, instance_ids)

    @functools.wraps(reboot)
    def reboot_instances(self: Any, instance_ids: list[str]) -> Any:
        for instance in self.get_multi_instances_by_id(instance_ids):
            if instance.state not in ("running", "pending"):
                raise _incorrect_state(
                    f"This instance '{instance.id}' is not in a state from which it can be rebooted."
                )
        return reboot(self, instance_ids)

    @functools.wraps(terminate)
    def terminate_instances(self: Any, instance_ids: list[str]) -> Any:
        """Of several instances none is terminated when one may not be."""
        for instance in self.get_multi_instances_by_id(instance_ids):
            if _is_true(instance.disable_api_termination):
                raise OperationNotPermitted4(instance.id)
        return terminate(self, instance_ids)

    InstanceBackend.run_instances = run_instances_whole  # type: ignore[method-assign]
    InstanceResponse.run_instances = respond_to_run  # type: ignore[method-assign]
    InstanceResponse._security_grp_instance_attribute_handler = set_groups_if_given  # type: ignore[method-assign]
    InstanceBackend.start_instances = start_instances  # type: ignore[method-assign]
    InstanceBackend.stop_instances = stop_instances  # type: ignore[method-assign]
    InstanceBackend.reboot_instances = reboot_instances  # type: ignore[method-assign]
    InstanceBackend.terminate_instances = terminate_instances  # type: ignore[method-assign]


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _incorrect_state(message: str) -> EC2ClientError:
    return EC2ClientError("IncorrectInstanceState", message)


def _template_data(backend: Any, launch: dict[str, Any]) -> dict[str, Any]:
    """What the launch template of a request to run instances says; nothing without one."""
    specification = launch.get("launch_template")
    if not specification:
        return {}
    data: dict[str, Any] = backend._get_template_from_args(specification).data
    return data


def _check_interfaces(launch: dict[str, Any]) -> None:
    """What a request to run instances names with its network interfaces, it can't name for the instance, too."""
    words = {
        "SecurityGroupIds": "security groups",
        "SecurityGroups": "security groups",
        "SubnetId": "subnet ID",
        "PrivateIpAddress": "private address",
    }
    for parameter, what in words.items():
        if launch.get("NetworkInterfaces") and launch.get(parameter):
            raise EC2ClientError(
                "InvalidParameterCombination",
                f"Network interfaces and an instance-level {what} may not be specified on the same request",
            )


def _launch_subnet(backend: Any, launch: dict[str, Any], template: dict[str, Any]) -> Any | None:
    """The subnet that a request's instances go to; None for the address of a network interface that exists.

    Without a subnet in the request it is the template's, or the zone's default one; either is written into `launch`.
    """
    if not launch.get("nics") and not launch.get("subnet_id"):
        launch["nics"] = copy.deepcopy(template.get("NetworkInterfaces") or [])
    interfaces = launch.get("nics") or []
    existing, primary = _primary_interface(launch)
    if existing:
        return None
    subnet_id = launch.get("subnet_id") or primary.get("SubnetId")
    if subnet_id:
        return backend.get_subnet(subnet_id)
    default = backend.get_default_subnets()
    zone = launch.get("placement") or (min(default) if default else None)
    if zone in default and not interfaces:
        launch["subnet_id"] = default[zone].id
        return default[zone]
    return None


def _primary_interface(launch: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Whether a launch's first network interface exists already, and what the launch says of it."""
    interfaces = launch.get("nics") or []
    primary: dict[str, Any] = next((nic for nic in interfaces if int(nic.get("DeviceIndex", 0)) == 0), {})
    return bool(primary.get("NetworkInterfaceId")), primary


def _install_status() -> None:
    def instance_status(self: Instance) -> dict[str, Any]:
        """Whether the machine has booted and answers on its network, as the reconciler of the status found it."""
        if self.state != "running":
            return {"Status": "not-applicable"}
        status = self.__dict__.get("status_check", INITIALIZING)
        detail = {"Name": "reachability", "Status": {OK: "passed", IMPAIRED: "failed"}.get(status, status)}
        if status == IMPAIRED:
            detail["ImpairedSince"] = self.impaired_since  # type: ignore[attr-defined]
        return {"Details": [detail], "Status": status}

    Instance.instance_status = property(instance_status)  # type: ignore[assignment,method-assign]


def _install_metadata_options() -> None:
    def modify_instance_metadata_options(
        self: Any,
        instance_id: str,
        http_tokens: str | None = None,
        hop_limit: int | None = None,
        http_endpoint: str | None = None,
        dry_run: bool | None = False,  # noqa: ARG001 (of moto's signature)
        http_protocol: str | None = None,
        metadata_tags: str | None = None,
    ) -> MetadataOptions:
        """What a request leaves out stays as it is; moto resets it."""
        options: MetadataOptions = self.get_instance(instance_id).metadata_options
        options.http_tokens = http_tokens or options.http_tokens
        options.http_put_response_hop_limit = hop_limit or options.http_put_response_hop_limit
        options.http_endpoint = http_endpoint or options.http_endpoint
        options.http_protocol_ipv6 = http_protocol or options.http_protocol_ipv6
        options.instance_metadata_tags = metadata_tags or options.instance_metadata_tags
        return options

    InstanceBackend.modify_instance_metadata_options = modify_instance_metadata_options  # type: ignore[method-assign]


def _install_monitoring() -> None:
    def switch(response: Monitoring, state: str) -> ActionResult:
        instances = response.ec2_backend.get_multi_instances_by_id(response._get_param("InstanceIds", []))
        for instance in instances:
            instance.monitoring_state = state
        states = [{"InstanceId": instance.id, "Monitoring": instance.monitoring} for instance in instances]
        return ActionResult({"InstanceMonitorings": states})

    # moto doesn't know these, and Terraform asks for minutes when it gets an internal error.
    monitoring: Any = Monitoring
    monitoring.monitor_instances = lambda self: switch(self, "enabled")
    monitoring.unmonitor_instances = lambda self: switch(self, "disabled")


def _install_console() -> None:
    def get_console_output(self: General) -> ActionResult:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        with without_lock():
            output = _console_reader[0](instance.id) if _console_reader else b""
        result = {"InstanceId": instance.id, "Timestamp": utcnow(), "Output": base64.b64encode(output).decode()}
        return ActionResult(result)

    General.get_console_output = get_console_output  # type: ignore[method-assign]


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
