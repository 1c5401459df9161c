"""EC2's placement groups, which moto lacks: recorded, and shown by the instances in them. There is only one host."""

from __future__ import annotations

import functools
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.instances import InstanceBackend, InstancePlacement, Reservation
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX, generic_filter, random_id

KIND, PREFIX = "placement-group", "pg"
CLUSTER, PARTITION, SPREAD = "cluster", "partition", "spread"
PARTITIONS, MOST_PARTITIONS = 2, 7  # of a group, when nothing is said and at most

FILTERS = ("group-arn", "group-name", "spread-level", "state", "strategy")


class PlacementGroup(TaggedEC2Resource):
    """A group; `state` is always `available`."""

    def __init__(
        self, backend: Any, name: str, strategy: str, partitions: int | None, spread_level: str | None
    ) -> None:
        self.ec2_backend = backend
        self.id = random_id(PREFIX)
        self.group_name, self.strategy, self.state = name, strategy, "available"
        self.partition_count, self.spread_level = partitions, spread_level
        self.group_arn = f"arn:{backend.partition}:ec2:{backend.region_name}:{backend.account_id}:{KIND}/{name}"

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """What a filter looks at, also where it is nothing."""
        if filter_name in FILTERS:
            return getattr(self, filter_name.replace("-", "_"))
        return super().get_filter_value(filter_name, method_name)

    def describe(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "GroupId": self.id,
            "GroupName": self.group_name,
            "GroupArn": self.group_arn,
            "Strategy": self.strategy,
            "State": self.state,
            "PartitionCount": self.partition_count,
            "SpreadLevel": self.spread_level,
            "Tags": self.get_tags(),
        }


def groups_of(backend: Any) -> dict[str, PlacementGroup]:
    """The groups of a region by name."""
    groups: dict[str, PlacementGroup] = backend.__dict__.setdefault("placement_groups", {})
    return groups


def find_group(backend: Any, name: str | None = None, group_id: str | None = None) -> PlacementGroup:
    """The group of that name or id. Raises InvalidPlacementGroup.Unknown when there is none."""
    for group in groups_of(backend).values():
        if group.group_name == name or group.id == group_id:
            return group
    raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name or group_id}' is unknown.")


def install() -> None:
    """Add the operations to moto's EC2, and the group to where its instances are."""
    EC2_RESOURCE_TO_PREFIX[KIND], EC2_PREFIX_TO_RESOURCE[PREFIX] = PREFIX, KIND
    placement: Any = InstancePlacement
    placement.group_id = placement.partition_number = None
    _install_operations()
    _install_launches()


def _install_operations() -> None:
    def create_placement_group(self: General) -> ActionResult:
        name, strategy = self._get_param("GroupName"), self._get_param("Strategy") or CLUSTER
        partitions, level = self._get_int_param("PartitionCount"), self._get_param("SpreadLevel")
        _check(name, strategy, partitions, level)
        self.error_on_dryrun()
        groups = groups_of(self.ec2_backend)
        if name in groups:
            raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
        group = PlacementGroup(
            self.ec2_backend,
            name,
            strategy,
            (partitions or PARTITIONS) if strategy == PARTITION else None,
            (level or "rack") if strategy == SPREAD else None,
        )
        group.add_tags(self._parse_tag_specification().get(KIND, {}))
        groups[name] = group
        return ActionResult({"PlacementGroup": group.describe()})

    def describe_placement_groups(self: General) -> ActionResult:
        self.error_on_dryrun()
        names, ids = self._get_param("GroupNames", []), self._get_param("GroupIds", [])
        groups = [find_group(self.ec2_backend, name=name) for name in names]
        groups += [find_group(self.ec2_backend, group_id=group_id) for group_id in ids]
        if not names and not ids:
            groups = list(groups_of(self.ec2_backend).values())
        found = generic_filter(self._filters_from_querystring(), groups)
        return ActionResult({"PlacementGroups": [group.describe() for group in found]})

    def delete_placement_group(self: General) -> ActionResult:
        self.error_on_dryrun()
        group = find_group(self.ec2_backend, name=self._get_param("GroupName"))
        for instance in self.ec2_backend.all_instances():
            if instance.placement.group_name == group.group_name and instance.state != "terminated":
                raise EC2ClientError(
                    "InvalidPlacementGroup.InUse",
                    f"The placement group {group.group_name} is in use and may not be deleted.",
                )
        del groups_of(self.ec2_backend)[group.group_name]
        self.ec2_backend.tags.pop(group.id, None)
        return EmptyResult()

    response: Any = General
    response.create_placement_group = create_placement_group
    response.describe_placement_groups = describe_placement_groups
    response.delete_placement_group = delete_placement_group


def _check(name: str | None, strategy: str, partitions: int | None, level: str | None) -> None:
    """Refuse what AWS refuses."""
    if not name:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter groupName")
    if strategy not in (CLUSTER, PARTITION, SPREAD):
        raise EC2ClientError("InvalidParameterValue", f"Value ({strategy}) for parameter strategy is invalid.")
    if partitions is not None and strategy != PARTITION:
        raise EC2ClientError(
            "InvalidParameterCombination", f"The parameter partitionCount is not valid for the strategy {strategy}."
        )
    if partitions is not None and not 1 <= partitions <= MOST_PARTITIONS:
        raise EC2ClientError("InvalidParameterValue", f"Value ({partitions}) for parameter partitionCount is invalid.")
    if level is not None and strategy != SPREAD:
        raise EC2ClientError(
            "InvalidParameterCombination", f"The parameter spreadLevel is not valid for the strategy {strategy}."
        )
    if level not in (None, "rack"):
        raise EC2ClientError("InvalidParameterValue", "The spread level host is for placement groups on an Outpost.")


def _install_launches() -> None:
    run_instances, respond = InstanceBackend.run_instances, InstanceResponse.run_instances

    @functools.wraps(run_instances)
    def run_in_group(self: Any, *args: Any, **kwargs: Any) -> Reservation:
        """Instances of a launch template or an Auto Scaling group (`placement_group`, a name)."""
        name = kwargs.pop("placement_group", None)
        template = kwargs.get("launch_template")
        wanted = (self._get_template_from_args(template).data.get("Placement") or {}) if template else {}
        wanted = {"GroupName": name} if name else wanted
        check(self, wanted)
        reservation = run_instances(self, *args, **kwargs)
        place(self, reservation.instances, wanted)
        return reservation

    @functools.wraps(respond)
    def respond_to_run(self: InstanceResponse) -> Any:
        backend = self.ec2_backend
        wanted = self._get_param("Placement", {})
        check(backend, wanted)
        known = set(backend.reservations)
        result = respond(self)
        for reservation_id in set(backend.reservations) - known:
            place(backend, backend.reservations[reservation_id].instances, wanted)
        return result

    InstanceBackend.run_instances = run_in_group  # type: ignore[method-assign]
    InstanceResponse.run_instances = respond_to_run  # type: ignore[method-assign]


def _wanted_group(backend: Any, wanted: dict[str, Any]) -> PlacementGroup | None:
    if not wanted.get("GroupName") and not wanted.get("GroupId"):
        return None
    return find_group(backend, name=wanted.get("GroupName"), group_id=wanted.get("GroupId"))


def check(backend: Any, wanted: dict[str, Any]) -> None:
    """Refuse a group that doesn't exist, and a partition that it doesn't have."""
    group = _wanted_group(backend, wanted)
    partition = int(wanted.get("PartitionNumber") or 0)
    if partition and (group is None or not 1 <= partition <= (group.partition_count or 0)):
        raise EC2ClientError("InvalidParameterValue", f"Value ({partition}) for parameter partitionNumber is invalid.")


def place(backend: Any, instances: list[Any], wanted: dict[str, Any]) -> None:
    """Put instances into the group that is wanted, its partitions by turns; with an empty name into none."""
    group = _wanted_group(backend, wanted)
    if group is None and wanted.get("GroupName") != "":
        return
    for number, instance in enumerate(instances):
        placement: Any = instance.placement
        placement.group_name, placement.group_id = (group.group_name, group.id) if group else (None, None)
        placement.partition_number = None
        if group and group.partition_count:
            placement.partition_number = int(wanted.get("PartitionNumber") or 0) or number % group.partition_count + 1
