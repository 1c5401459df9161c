"""Security groups: who wears which is the same wherever it is asked, and what is in use can't be deleted.

moto shows an interface's groups together with those that its instance had before, leaves those of a load balancer
as they were, deletes a group that others refer to, and wants ports of protocols that have none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import (
    DependencyViolationError,
    InvalidParameterValue,
    InvalidSecurityGroupNotFoundError,
    InvalidSecurityGroupRuleIdNotFoundError,
    MissingParameterError,
)
from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupBackend, SecurityGroupRule
from moto.ec2.responses.security_groups import SecurityGroups
from moto.elbv2.models import ELBv2Backend

WITH_PORTS = ("tcp", "udp", "icmp", "icmpv6", "6", "17", "1", "58")  # or, of ICMP, a type and a code


def install() -> None:
    """Change moto's classes."""
    _install_membership()
    _install_rules()
    _install_deletion()
    _install_answers()


def groups_by_id(backend: Any, group_ids: Iterable[str]) -> list[SecurityGroup]:
    """The groups of these ids. Raises EC2's InvalidGroup.NotFound for one that there is not."""
    found = []
    for group_id in group_ids:
        group = backend.get_security_group_from_id(group_id)
        if group is None:
            raise InvalidSecurityGroupNotFoundError(group_id)
        found.append(group)
    return found


def _install_membership() -> None:
    modify_interface = NetworkInterfaceBackend.modify_network_interface_attribute
    set_security_groups = ELBv2Backend.set_security_groups

    def group_set(self: Any) -> list[SecurityGroup]:
        """The groups of an interface. An instance's are those of its first one."""
        if self.instance and self.instance.security_groups and self.device_index == 0:
            return list(self.instance.security_groups)
        return list(self._group_set)

    @functools.wraps(modify_interface)
    def modify_interface_and_instance(self: Any, eni_id: str, group_ids: list[str], *args: Any, **kwargs: Any) -> None:
        groups = groups_by_id(self, group_ids)
        modify_interface(self, eni_id, group_ids, *args, **kwargs)
        interface = self.get_network_interface(eni_id)
        if groups and interface.instance and interface.device_index == 0:
            interface.instance.security_groups = groups

    def modify_instance_security_groups(self: Any, instance_id: str, new_group_id_list: list[str]) -> Any:
        instance = self.get_instance(instance_id)
        instance.security_groups = groups_by_id(self, new_group_id_list)
        instance.nics[0]._group_set = list(instance.security_groups)
        return instance

    @functools.wraps(set_security_groups)
    def set_groups_of_interface(self: Any, arn: str, sec_groups: list[str]) -> None:
        set_security_groups(self, arn, sec_groups)
        self.load_balancers[arn].interface._group_set = groups_by_id(self.ec2_backend, sec_groups)

    NetworkInterfaceBackend.modify_network_interface_attribute = modify_interface_and_instance  # type: ignore[method-assign]
    NetworkInterface.group_set = property(group_set)  # type: ignore[method-assign,assignment]
    InstanceBackend.modify_instance_security_groups = modify_instance_security_groups  # type: ignore[method-assign]
    ELBv2Backend.set_security_groups = set_groups_of_interface  # type: ignore[method-assign]


def _install_rules() -> None:
    create, modify = SecurityGroupBackend.create_security_group, SecurityGroupBackend.modify_security_group_rules

    @functools.wraps(create)
    def create_with_default_rule(self: Any, *args: Any, **kwargs: Any) -> SecurityGroup:
        group = create(self, *args, **kwargs)
        if group.is_default:
            # "allows inbound traffic from all resources that are assigned to the security group" (VPC user guide)
            self.authorize_security_group_ingress(
                group.id, "-1", None, None, [], source_groups=[{"GroupId": group.id}], vpc_id=group.vpc_id
            )
        return group

    @functools.wraps(modify)
    def modify_references_too(self: Any, group_id: str, rules: dict[str, dict[str, Any]]) -> None:
        without_ports = {id_ for id_, rule in rules.items() if str(rule.get("IpProtocol")).lower() not in WITH_PORTS}
        ports = {"FromPort": -1, "ToPort": -1}
        complete = {id_: {**ports, **rule} if id_ in without_ports else rule for id_, rule in rules.items()}
        modify(self, group_id, complete)
        group = self.get_security_group_by_name_or_id(group_id)
        for rule_id, new in rules.items():
            rule = group.get_rule(rule_id)
            if rule_id in without_ports:
                rule.from_port = rule.to_port = None
            if new.get("ReferencedGroupId"):
                groups_by_id(self, [new["ReferencedGroupId"]])
                rule.source_group["GroupId"] = new["ReferencedGroupId"]
            elif new.get("PrefixListId"):
                rule.prefix_list_id = new["PrefixListId"]

    init = SecurityGroupRule.__init__

    @functools.wraps(init)
    def init_without_ports(
        self: Any,
        ec2: Any,
        ip_protocol: str,
        group_id: str,
        from_port: Any,
        to_port: Any,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """A rule; one of a protocol without ports, such as 47, covers all of it, whatever ports are named."""
        without = str(ip_protocol).lower() not in WITH_PORTS
        if not without and (from_port is None or to_port is None):
            raise InvalidParameterValue(
                "Invalid value for portRange. Must specify both from and to ports with TCP/UDP."
            )
        ports = ("-1", "-1") if without else (from_port, to_port)
        init(self, ec2, ip_protocol, group_id, *ports, *args, **kwargs)
        if without:
            self.from_port = self.to_port = None

    SecurityGroupRule.__init__ = init_without_ports  # type: ignore[method-assign,assignment]
    SecurityGroupBackend.create_security_group = create_with_default_rule  # type: ignore[method-assign]
    SecurityGroupBackend.modify_security_group_rules = modify_references_too  # type: ignore[method-assign]


def _install_deletion() -> None:
    delete = SecurityGroupBackend._delete_security_group

    @functools.wraps(delete)
    def delete_unused(self: Any, vpc_id: str | None, group_id: str) -> None:
        group = self.groups[vpc_id or self.default_vpc.id][group_id]
        if group.is_default:  # goes with its VPC
            delete(self, vpc_id, group_id)
            return
        for interface in self.enis.values():
            if any(group.id == group_id for group in interface.group_set):
                raise DependencyViolationError(f"resource {group_id} has a dependent object")
        for other in self.describe_security_groups():
            for rule in (*other.ingress_rules, *other.egress_rules):
                if other is not group and rule.source_group.get("GroupId") == group_id:
                    raise DependencyViolationError(f"resource {group_id} has a dependent object")
        delete(self, vpc_id, group_id)

    SecurityGroupBackend._delete_security_group = delete_unused  # type: ignore[method-assign]


def _install_answers() -> None:
    """What moto leaves out of its answers; and descriptions that are given by the rules' ids, which it overlooks."""

    def named(request: SecurityGroups) -> SecurityGroup:
        name = request._get_param("GroupId") or request._get_param("GroupName")
        if not name:
            raise MissingParameterError("GroupName or GroupId")
        group: SecurityGroup | None = request.ec2_backend.get_security_group_by_name_or_id(name)
        if group is None:
            raise InvalidSecurityGroupNotFoundError(name)
        return group

    def update_descriptions(original: Callable[[SecurityGroups], Any]) -> Callable[[SecurityGroups], ActionResult]:
        @functools.wraps(original)
        def respond(self: SecurityGroups) -> ActionResult:
            by_id = self._get_param("SecurityGroupRuleDescriptions", [])
            if not by_id:
                original(self)
            group = named(self)
            for given in by_id:
                rule = group.get_rule(given["SecurityGroupRuleId"])
                if rule is None:
                    raise InvalidSecurityGroupRuleIdNotFoundError(given["SecurityGroupRuleId"])
                source = rule.source_group or rule.ip_range
                source["Description"] = given.get("Description", "")
            return ActionResult({"Return": True})

        return respond

    def authorize(original: Callable[[SecurityGroups], Any], method: str) -> Callable[[SecurityGroups], ActionResult]:
        @functools.wraps(original)
        def respond(self: SecurityGroups) -> ActionResult:
            """The rules of all permissions in the request; moto names those of the last."""
            made: list[SecurityGroupRule] = []
            backend: Any = self.ec2_backend
            self.error_on_dryrun()
            for arguments in self._process_rules_from_querystring():
                made += getattr(backend, method)(**arguments)[0]
            return ActionResult({"Return": True, "SecurityGroupRules": made})

        return respond

    delete = SecurityGroups.delete_security_group

    @functools.wraps(delete)
    def delete_security_group(self: SecurityGroups) -> ActionResult:
        group = named(self)
        delete(self)
        return ActionResult({"Return": True, "GroupId": group.id})

    response: Any = SecurityGroups
    response.delete_security_group = delete_security_group
    for direction in ("ingress", "egress"):
        operation = f"update_security_group_rule_descriptions_{direction}"
        setattr(response, operation, update_descriptions(getattr(response, operation)))
        operation = f"authorize_security_group_{direction}"
        setattr(response, operation, authorize(getattr(response, operation), operation))
