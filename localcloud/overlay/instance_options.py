"""What RunInstances is told of an instance and DescribeInstances repeats, and the operations that change it.

moto drops it, and takes little of a launch template. Terraform then plans the instance anew, each time.
"""

from __future__ import annotations

import functools
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import get_value
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstancePlacement
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.utils import convert_tag_spec

from localcloud.overlay import placement_groups

# What holds where neither the request nor its launch template says something.
DEFAULTS: dict[str, dict[str, Any]] = {
    "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
    "EnclaveOptions": {"Enabled": False},
    "HibernationOptions": {"Configured": False},
    "MaintenanceOptions": {"AutoRecovery": "default", "RebootMigration": "default"},
    "NetworkPerformanceOptions": {"BandwidthWeighting": "default"},
    "PrivateDnsNameOptions": {
        "HostnameType": "ip-name",
        "EnableResourceNameDnsARecord": False,
        "EnableResourceNameDnsAAAARecord": False,
    },
}
PLACEMENT = ("Affinity", "HostId", "HostResourceGroupArn", "Tenancy")  # and the group: placement_groups.py
# Parameters of RunInstances that moto asks for in the request only; a launch template has them under the same names.
OF_TEMPLATE = (
    "DisableApiStop",
    "EbsOptimized",
    "InstanceInitiatedShutdownBehavior",
    "InstanceMarketOptions.MarketType",
    "Monitoring.Enabled",
    "Placement.AvailabilityZone",
    "Placement.HostId",
)


def parameter(response: InstanceResponse, name: str, template: dict[str, Any]) -> Any:
    """A parameter of RunInstances; what the request leaves out is the launch template's. None: neither has it."""
    value = response._get_param(name)
    return get_value(template, name, None) if value is None else value


def describe(instance: Any, template: dict[str, Any], request: dict[str, Any]) -> None:
    """Note down the options of a new instance; `request` and `template` as in RunInstances and its launch template."""
    given = {name: request.get(name) or template.get(name) or {} for name in (*DEFAULTS, "CpuOptions", "Placement")}
    instance.options = {name: {**default, **given[name]} for name, default in DEFAULTS.items()}
    if not given["PrivateDnsNameOptions"] and instance.subnet_id:
        of_subnet = getattr(
            instance.ec2_backend.get_subnet(instance.subnet_id), "private_dns_name_options_on_launch", {}
        )
        instance.options["PrivateDnsNameOptions"].update(of_subnet)
    instance.options["CpuOptions"] = dict(given["CpuOptions"])
    credit = request.get("CreditSpecification") or template.get("CreditSpecification") or {}
    instance.cpu_credits = credit.get("CpuCredits")
    _place(instance, given["Placement"])


def _place(instance: Any, placement: dict[str, Any]) -> None:
    for name in PLACEMENT:
        if name in placement:
            setattr(instance.placement, name, placement[name])


def is_burstable(instance: Any) -> bool:
    return bool(INSTANCE_TYPES.get(instance.instance_type, {}).get("BurstablePerformanceSupported"))


def install() -> None:
    """Change moto's instances."""
    _install_description()
    _install_launch()
    _install_changes()


def _install_description() -> None:
    create = Instance.__init__

    @functools.wraps(create)
    def create_described(self: Instance, ec2_backend: Any, *args: Any, **kwargs: Any) -> None:
        specification = kwargs.get("launch_template")
        template = ec2_backend._get_template_from_args(specification).data if specification else {}
        create(self, ec2_backend, *args, **kwargs)
        describe(self, template, {})

    def option(name: str) -> property:
        return property(lambda self: self.options[name])

    def cpu_options(self: Any) -> dict[str, Any]:
        processor = INSTANCE_TYPES.get(self.instance_type, {}).get("VCpuInfo", {})
        default = {
            "CoreCount": processor.get("DefaultCores"),
            "ThreadsPerCore": processor.get("DefaultThreadsPerCore"),
        }
        return {**default, **self.options["CpuOptions"]}

    instance: Any = Instance
    instance.options = {**DEFAULTS, "CpuOptions": {}}  # of instances that an older version of this program saved
    instance.cpu_credits = None
    for name in DEFAULTS:
        setattr(instance, name, option(name))
    instance.CpuOptions = property(cpu_options)
    instance.__init__ = create_described
    private_dns_name = Instance.private_dns_name

    def chosen_private_dns_name(self: Any) -> str:
        by_address: str = private_dns_name.fget(self)  # type: ignore[attr-defined]
        if self.options["PrivateDnsNameOptions"]["HostnameType"] != "resource-name":
            return by_address
        return f"{self.id}.{by_address.partition('.')[2]}"

    instance.private_dns_name = property(chosen_private_dns_name)
    for name in PLACEMENT:
        if name not in ("HostId", "Tenancy"):
            setattr(InstancePlacement, name, None)


def _install_launch() -> None:
    respond = InstanceResponse.run_instances

    @functools.wraps(respond)
    def respond_with_options(self: InstanceResponse) -> Any:
        backend, get = self.ec2_backend, self._get_param
        specification = get("LaunchTemplate", {})
        template = backend._get_template_from_args(specification).data if specification else {}

        def get_from_template(name: str, *default: Any, **named: Any) -> Any:
            if name in OF_TEMPLATE and get(name) is None:
                value = get_value(template, name, None)
                if value is not None:
                    return value
            return get(name, *default, **named)

        self._get_param = get_from_template  # type: ignore[method-assign,assignment]
        known = set(backend.reservations)
        result = respond(self)
        tags = convert_tag_spec((template.get("TagSpecifications") or []) + get("TagSpecifications", []))
        for reservation_id in set(backend.reservations) - known:
            for instance in backend.reservations[reservation_id].instances:
                describe(instance, template, self.params)
                for interface in instance.nics.values():
                    interface.add_tags(tags.get("network-interface", {}))
        return result

    InstanceResponse.run_instances = respond_with_options  # type: ignore[method-assign]


def _install_changes() -> None:
    """The operations that change one of these options, which moto lacks."""

    def changing(option: str, members: dict[str, str], *, stopped: bool = False) -> Any:
        """An operation that changes `members` (of the request: of the option) and answers with the request's."""

        def change(self: InstanceResponse) -> ActionResult:
            self.error_on_dryrun()
            instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
            if stopped:
                _require_stopped(instance)
            given = {key: self._get_param(key) for key in members}
            changed = {members[key]: value for key, value in given.items() if value is not None}
            instance.options = {**instance.options, option: {**instance.options[option], **changed}}
            values = getattr(instance, option)
            return ActionResult(
                {"InstanceId": instance.id, "Return": True, **{key: values.get(name) for key, name in members.items()}}
            )

        return change

    def modify_instance_capacity_reservation_attributes(self: InstanceResponse) -> ActionResult:
        self.error_on_dryrun()
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        name = "CapacityReservationSpecification"
        instance.options = {**instance.options, name: self._get_param(name)}
        return ActionResult({"Return": True})

    def modify_instance_placement(self: InstanceResponse) -> ActionResult:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        _require_stopped(instance)
        placement_groups.check(self.ec2_backend, self.params)
        _place(instance, self.params)
        placement_groups.place(self.ec2_backend, [instance], self.params)
        return ActionResult({"Return": True})

    def modify_instance_credit_specification(self: InstanceResponse) -> ActionResult:
        self.error_on_dryrun()
        changed = []
        for specification in self._get_param("InstanceCreditSpecifications", []):
            instance = self.ec2_backend.get_instance(specification["InstanceId"])
            instance.cpu_credits = specification.get("CpuCredits")
            changed.append({"InstanceId": instance.id})
        return ActionResult({"SuccessfulInstanceCreditSpecifications": changed})

    def describe_instance_credit_specifications(self: InstanceResponse) -> ActionResult:
        """Without ids AWS names those that are `unlimited`."""
        ids = self._get_param("InstanceIds", [])
        backend = self.ec2_backend
        instances = backend.get_multi_instances_by_id(ids) if ids else backend.all_instances()
        found = [(instance.id, _credits(instance)) for instance in instances if is_burstable(instance)]
        return ActionResult(
            {
                "InstanceCreditSpecifications": [
                    {"InstanceId": instance_id, "CpuCredits": cpu_credits}
                    for instance_id, cpu_credits in found
                    if ids or cpu_credits == "unlimited"
                ]
            }
        )

    response: Any = InstanceResponse
    response.modify_instance_cpu_options = changing(
        "CpuOptions",
        {key: key for key in ("CoreCount", "ThreadsPerCore", "NestedVirtualization")},
        stopped=True,
    )
    response.modify_instance_maintenance_options = changing(
        "MaintenanceOptions", {key: key for key in ("AutoRecovery", "RebootMigration")}
    )
    response.modify_instance_network_performance_options = changing(
        "NetworkPerformanceOptions", {"BandwidthWeighting": "BandwidthWeighting"}, stopped=True
    )
    response.modify_private_dns_name_options = changing(
        "PrivateDnsNameOptions",
        {
            "PrivateDnsHostnameType": "HostnameType",
            "EnableResourceNameDnsARecord": "EnableResourceNameDnsARecord",
            "EnableResourceNameDnsAAAARecord": "EnableResourceNameDnsAAAARecord",
        },
    )
    response.modify_instance_capacity_reservation_attributes = modify_instance_capacity_reservation_attributes
    response.modify_instance_placement = modify_instance_placement
    response.modify_instance_credit_specification = modify_instance_credit_specification
    response.describe_instance_credit_specifications = describe_instance_credit_specifications


def _credits(instance: Any) -> str:
    return instance.cpu_credits or ("standard" if instance.instance_type.startswith("t2.") else "unlimited")


def _require_stopped(instance: Any) -> None:
    if instance.state != "stopped":
        raise EC2ClientError(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state in which it can be changed."
        )
