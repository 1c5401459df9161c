"""Elastic Load Balancing v2: what AWS refuses and moto accepts, in AWS's words."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
from typing import Any

from moto.acm.models import AWSCertificateManagerBackend
from moto.core.exceptions import AWSError
from moto.elbv2.exceptions import (
    DuplicatePriorityError,
    ELBClientError,
    InvalidConfigurationRequest,
    InvalidTargetError,
    PriorityInUseError,
    RuleNotFoundError,
    ValidationError,
)
from moto.elbv2.models import ELBv2Backend, FakeListener, FakeLoadBalancer, FakeTargetGroup
from moto.elbv2.ssl_policies import SSL_POLICIES

from localcloud import backends

# The characters that AWS's API reference allows in a value of these conditions.
VALUE_CHARACTERS = {
    "path-pattern": re.compile(r"[A-Za-z0-9_\-.$/~\"'@:+&*?%!,;=()\\]*"),
    "host-header": re.compile(r"[A-Za-z0-9\-.*?:\\]*"),
}
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
METHOD = re.compile(r"[A-Z_\-]+")
HTTP_CODES = re.compile(r"\d{3}(-\d{3})?(,\s*\d{3}(-\d{3})?)*")
# Attribute -> (lowest, highest) value.
LOAD_BALANCER_RANGES = {"idle_timeout.timeout_seconds": (1, 4000), "client_keep_alive.seconds": (60, 604800)}
TARGET_GROUP_RANGES = {
    "deregistration_delay.timeout_seconds": (0, 3600),
    "stickiness.lb_cookie.duration_seconds": (1, 604800),
    "stickiness.app_cookie.duration_seconds": (1, 604800),
}
ALGORITHMS = ("round_robin", "least_outstanding_requests", "weighted_random")
RESERVED_COOKIES = ("AWSALB", "AWSALBAPP", "AWSALBTG")
# Targets by address must be in the group's VPC or in one of these.
PRIVATE_RANGES = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")
)


def install() -> None:
    """Change moto's ELBv2 and ACM classes."""
    _install_load_balancers()
    _install_listeners()
    _install_rules()
    _install_target_groups()
    _install_targets()
    _install_certificates()
    _install_tags()


def _install_load_balancers() -> None:
    create, delete = ELBv2Backend.create_load_balancer, ELBv2Backend.delete_load_balancer
    modify = ELBv2Backend.modify_load_balancer_attributes

    @functools.wraps(create)
    def create_checked(
        self: ELBv2Backend, name: str, security_groups: list[str], subnet_ids: list[str], *args: Any, **kwargs: Any
    ) -> FakeLoadBalancer:
        if any(known.name == name for known in self.load_balancers.values()):
            raise ELBClientError(
                "DuplicateLoadBalancerName",
                f"A load balancer with the same name '{name}' exists, but with different settings",
            )
        if len(name) > 32:
            raise ValidationError(f"The load balancer name '{name}' cannot be longer than '32' characters")
        if not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise ValidationError(
                f"The load balancer name '{name}' can only contain characters that are alphanumeric characters and "
                "hyphens(-)"
            )
        if name.startswith(("-", "internal-")) or name.endswith("-"):
            raise ValidationError(
                f"The load balancer name '{name}' cannot begin or end with '-' or begin with 'internal-'"
            )
        mappings = kwargs.get("subnet_mappings") or []
        wanted = [*(subnet_ids or []), *(mapping["SubnetId"] for mapping in mappings)]
        application = (kwargs.get("loadbalancer_type") or "application") == "application"
        if wanted and application:
            zones = [subnet.availability_zone for subnet in map(self.ec2_backend.get_subnet, wanted) if subnet]
            if len(zones) != len(set(zones)):
                raise InvalidConfigurationRequest(
                    "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
                )
            if len(zones) == len(wanted) and len(zones) < 2:
                raise ValidationError("At least two subnets in two different Availability Zones must be specified")
        for group_id in security_groups or []:
            if self.ec2_backend.get_security_group_from_id(group_id) is None:
                raise ELBClientError("InvalidSecurityGroup", f"Security group '{group_id}' does not exist")
        kwargs["scheme"] = kwargs.get("scheme") or "internet-facing"
        if application and not security_groups and wanted:
            # "The default is the default security group for the VPC" (the user guide)
            vpc_id = self.ec2_backend.get_subnet(wanted[0]).vpc_id
            security_groups = [self.ec2_backend.get_default_security_group(vpc_id).id]  # type: ignore[union-attr]
        return create(self, name, security_groups, subnet_ids, *args, **kwargs)

    @functools.wraps(delete)
    def delete_checked(self: ELBv2Backend, arn: str) -> None:
        load_balancer = self.load_balancers.get(arn)
        if load_balancer is not None and load_balancer.attrs.get("deletion_protection.enabled") == "true":
            raise ELBClientError(
                "OperationNotPermitted",
                f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
            )
        delete(self, arn)

    @functools.wraps(modify)
    def modify_checked(self: ELBv2Backend, arn: str, attrs: dict[str, Any]) -> dict[str, Any]:
        _check_ranges(attrs, LOAD_BALANCER_RANGES)
        mode = attrs.get("routing.http.xff_header_processing.mode", "append")
        if mode not in ("append", "preserve", "remove"):
            raise InvalidConfigurationRequest(
                f"'routing.http.xff_header_processing.mode' value '{mode}' must be one of [append, preserve, remove]"
            )
        if attrs.get("access_logs.s3.enabled") == "true":
            known = self.load_balancers.get(arn)
            bucket = attrs.get("access_logs.s3.bucket") or (known and known.attrs.get("access_logs.s3.bucket"))
            if not bucket:
                raise InvalidConfigurationRequest("The value of 'access_logs.s3.bucket' cannot be empty")
            if bucket not in backends.backend("s3", self.account_id, self.partition).buckets:
                raise InvalidConfigurationRequest(
                    f"Access Denied for bucket: {bucket}. Please check S3bucket permission"
                )
        return modify(self, arn, attrs)

    ELBv2Backend.create_load_balancer = create_checked  # type: ignore[method-assign]
    ELBv2Backend.delete_load_balancer = delete_checked  # type: ignore[method-assign]
    ELBv2Backend.modify_load_balancer_attributes = modify_checked  # type: ignore[method-assign]


def _check_ranges(attributes: dict[str, Any], ranges: dict[str, tuple[int, int]]) -> None:
    for name, (lowest, highest) in ranges.items():
        value = attributes.get(name)
        if value is not None and not (str(value).isdigit() and lowest <= int(value) <= highest):
            raise ValidationError(f"'{name}' value '{value}' must be between '{lowest}-{highest}' inclusive")


# -- listeners ----------------------------------------------------------------------------------------------------


def _install_listeners() -> None:
    create, modify = ELBv2Backend.create_listener, ELBv2Backend.modify_listener
    add = ELBv2Backend.add_listener_certificates

    @functools.wraps(create)
    def create_checked(
        self: ELBv2Backend,
        load_balancer_arn: str,
        protocol: str,
        port: str,
        ssl_policy: str,
        certificate: str | None,
        *args: Any,
        **kwargs: Any,
    ) -> FakeListener:
        load_balancer = self.load_balancers.get(load_balancer_arn)
        if load_balancer is not None:
            for listener in load_balancer.listeners.values():
                if str(listener.port) == str(port):
                    raise ELBClientError(
                        "DuplicateListener",
                        f"A listener already exists on this port for this load balancer '{load_balancer_arn}'",
                    )
        if protocol == "HTTPS" and (load_balancer is None or load_balancer.type == "application"):
            if certificate is None:
                raise ValidationError("A certificate must be specified for HTTPS listeners")
            self.check_certificate(certificate)  # type: ignore[attr-defined]
            if ssl_policy not in SSL_POLICIES:
                raise ELBClientError("SSLPolicyNotFound", f"SSL policy '{ssl_policy}' not found")
        elif protocol == "HTTP":
            if certificate is not None:
                raise ValidationError("Certificates cannot be specified for HTTP listeners")
            ssl_policy = None  # type: ignore[assignment]
        return create(self, load_balancer_arn, protocol, port, ssl_policy, certificate, *args, **kwargs)

    @functools.wraps(modify)
    def modify_keeping_certificates(
        self: ELBv2Backend,
        arn: str,
        port: str | None = None,
        protocol: str | None = None,
        ssl_policy: str | None = None,
        certificates: list[dict[str, Any]] | None = None,
        actions: list[dict[str, Any]] | None = None,
    ) -> FakeListener:
        """AWS replaces the default certificate, and keeps those that were added."""
        known = self.describe_listeners(None, [arn])[0]
        load_balancer = self.load_balancers[known.load_balancer_arn]
        if port is not None and any(
            other is not known and str(other.port) == str(port) for other in load_balancer.listeners.values()
        ):
            raise ELBClientError(
                "DuplicateListener",
                f"A listener already exists on this port for this load balancer '{known.load_balancer_arn}'",
            )
        for certificate in certificates or []:
            self.check_certificate(certificate["CertificateArn"])  # type: ignore[attr-defined]
        added = known.certificates[1:]
        listener = modify(self, arn, port, protocol, ssl_policy, certificates or [], actions or [])
        if listener.protocol == "HTTPS":
            listener.certificates = [
                listener.certificate,  # type: ignore[list-item]
                *added,
            ]
            listener.ssl_policy = listener.ssl_policy or "ELBSecurityPolicy-2016-08"
        else:
            listener.certificate, listener.certificates = None, []
            listener.ssl_policy = None  # type: ignore[assignment]
        return listener

    @functools.wraps(add)
    def add_checked(self: ELBv2Backend, arn: str, certificates: list[dict[str, Any]]) -> list[str]:
        known = self.describe_listeners(None, [arn])[0].certificates[1:]  # the default one may be added, too
        for certificate in certificates:
            self.check_certificate(certificate["CertificateArn"])  # type: ignore[attr-defined]
        add(self, arn, [certificate for certificate in certificates if certificate["CertificateArn"] not in known])
        return [certificate["CertificateArn"] for certificate in certificates]

    def remove_checked(self: ELBv2Backend, arn: str, certificates: list[dict[str, Any]]) -> None:
        listener = self.describe_listeners(None, [arn])[0]
        leaving = {certificate["CertificateArn"] for certificate in certificates}
        default, added = listener.certificates[:1], listener.certificates[1:]
        if leaving & set(default) - set(added):
            raise ELBClientError("OperationNotPermitted", "Default certificate cannot be removed from the listener")
        listener.certificates = [*default, *(known for known in added if known not in leaving)]

    def check_certificate(self: ELBv2Backend, certificate_arn: str) -> None:
        if not self._certificate_exists(certificate_arn=certificate_arn):
            raise ELBClientError("CertificateNotFound", f"Certificate '{certificate_arn}' not found")

    ELBv2Backend.create_listener = create_checked  # type: ignore[method-assign]
    ELBv2Backend.modify_listener = modify_keeping_certificates  # type: ignore[method-assign]
    ELBv2Backend.add_listener_certificates = add_checked  # type: ignore[method-assign]
    ELBv2Backend.remove_listener_certificates = remove_checked  # type: ignore[method-assign]
    ELBv2Backend.check_certificate = check_certificate  # type: ignore[attr-defined]


# -- rules --------------------------------------------------------------------------------------------------------


def _install_rules() -> None:
    validate, delete = ELBv2Backend._validate_conditions, ELBv2Backend.delete_rule

    @functools.wraps(validate)
    def validate_values(self: ELBv2Backend, conditions: list[dict[str, Any]]) -> None:
        validate(self, conditions)
        for condition in conditions:
            _check_condition(condition)

    def set_rule_priorities(self: ELBv2Backend, rule_priorities: list[dict[str, Any]]) -> list[Any]:
        """All at once: two rules may change places."""
        wanted = {row["RuleArn"]: int(row["Priority"]) for row in rule_priorities}
        for priority in wanted.values():
            if not 1 <= priority <= 50000:
                raise ValidationError(f"Rule priority '{priority}' must be between '1' and '50000'")
            if list(wanted.values()).count(priority) > 1:
                raise DuplicatePriorityError(str(priority))
        rules = {rule.arn: rule for rule in self.describe_rules(None, list(wanted))}
        if any(rule.is_default for rule in rules.values()):
            raise ELBClientError("OperationNotPermitted", "Default rule priority cannot be modified")
        for arn, priority in wanted.items():
            if arn not in rules:
                raise RuleNotFoundError()
            listener = self.describe_listeners(None, [rules[arn].listener_arn])[0]
            for other in listener.rules.values():
                if other.arn not in wanted and str(other.priority) == str(priority):
                    raise PriorityInUseError()
        for arn, priority in wanted.items():
            rules[arn].priority = priority
        return list(rules.values())

    @functools.wraps(delete)
    def delete_own(self: ELBv2Backend, arn: str) -> None:
        rules = self.describe_rules(None, [arn])
        if not rules:
            raise RuleNotFoundError()
        if rules[0].is_default:
            raise ELBClientError("OperationNotPermitted", f"Default rule '{arn}' cannot be deleted")
        delete(self, arn)

    ELBv2Backend.delete_rule = delete_own  # type: ignore[method-assign]
    ELBv2Backend._validate_conditions = validate_values  # type: ignore[method-assign]
    ELBv2Backend.set_rule_priorities = set_rule_priorities  # type: ignore[method-assign]


def _check_condition(condition: dict[str, Any]) -> None:
    kind = condition.get("Field", "")
    configs = [config for name, config in condition.items() if name.endswith("Config") and config]
    config: dict[str, Any] = configs[0] if configs else {}
    if "RegexValues" in config:
        raise ValidationError(f"Regular expressions in '{kind}' conditions are not supported here")
    values = config.get("Values") or condition.get("Values") or []
    if kind in VALUE_CHARACTERS:
        for value in values:
            if not VALUE_CHARACTERS[kind].fullmatch(value):
                raise ValidationError(f"Condition value '{value}' contains a character that is not valid")
    elif kind == "http-request-method":
        for value in values:
            if not METHOD.fullmatch(value):
                raise ValidationError(f"Condition value '{value}' contains a character that is not valid")
    elif kind == "http-header":
        name = config.get("HttpHeaderName", "")
        if not HEADER_NAME.fullmatch(name):
            raise ValidationError(f"Condition header name '{name}' contains a character that is not valid")
    elif kind == "source-ip":
        for value in values:
            with contextlib.suppress(ValueError):
                if "/" in value and ipaddress.ip_network(value, strict=False):
                    continue
            raise ValidationError(f"Condition value '{value}' is not a valid CIDR block")


# -- target groups and targets ------------------------------------------------------------------------------------


def _install_target_groups() -> None:
    create, modify = ELBv2Backend.create_target_group, ELBv2Backend.modify_target_group
    modify_attributes = ELBv2Backend.modify_target_group_attributes

    @functools.wraps(create)
    def create_checked(self: ELBv2Backend, name: str, **kwargs: Any) -> FakeTargetGroup:
        _check_health_check(kwargs, kwargs.get("protocol"))
        return create(self, name, **kwargs)

    @functools.wraps(modify)
    def modify_checked(self: ELBv2Backend, arn: str, *args: Any, **kwargs: Any) -> FakeTargetGroup:
        names = (
            "healthcheck_protocol", "healthcheck_port", "healthcheck_path", "healthcheck_interval_seconds",
            "healthcheck_timeout_seconds", "healthy_threshold_count", "unhealthy_threshold_count", "http_codes",
        )  # fmt: skip
        given = dict(zip(names, args, strict=False))
        group = self.target_groups.get(arn)
        if group is not None:
            _check_health_check({**given, "matcher": {"HttpCode": given.get("http_codes")}}, group.protocol)
            interval = given.get("healthcheck_interval_seconds") or int(group.health_check_interval_seconds)
            timeout = given.get("healthcheck_timeout_seconds") or int(group.health_check_timeout_seconds)
            if timeout >= interval and group.protocol in ("HTTP", "HTTPS"):
                raise ValidationError(
                    f"Health check timeout '{timeout}' must be smaller than the interval '{interval}'"
                )
        return modify(self, arn, *args, **kwargs)

    @functools.wraps(modify_attributes)
    def modify_attributes_checked(self: ELBv2Backend, target_group_arn: str, attributes: dict[str, Any]) -> None:
        _check_ranges(attributes, TARGET_GROUP_RANGES)
        group = self.target_groups.get(target_group_arn)
        wanted = {**(group.attributes if group else {}), **attributes}
        algorithm = wanted.get("load_balancing.algorithm.type", "round_robin")
        if algorithm not in ALGORITHMS:
            raise ValidationError(
                f"'load_balancing.algorithm.type' value '{algorithm}' must be one of [{', '.join(ALGORITHMS)}]"
            )
        slow_start = str(wanted.get("slow_start.duration_seconds", "0"))
        if slow_start != "0":
            if not (slow_start.isdigit() and 30 <= int(slow_start) <= 900):
                raise ValidationError(
                    f"'slow_start.duration_seconds' value '{slow_start}' must be '0' or between '30-900' inclusive"
                )
            if algorithm != "round_robin":
                raise InvalidConfigurationRequest(
                    f"Slow start is not supported with the routing algorithm '{algorithm}'"
                )
        cookie = str(attributes.get("stickiness.app_cookie.cookie_name", ""))
        if cookie.startswith(RESERVED_COOKIES):
            raise InvalidConfigurationRequest(f"The application cookie name '{cookie}' is reserved")
        # moto lets the delay be at most 3599 s.
        longest = {name: value for name, value in attributes.items() if str(value) == "3600"}
        modify_attributes(
            self, target_group_arn, {name: value for name, value in attributes.items() if name not in longest}
        )
        self.target_groups[target_group_arn].attributes.update(longest)

    ELBv2Backend.create_target_group = create_checked  # type: ignore[method-assign]
    ELBv2Backend.modify_target_group = modify_checked  # type: ignore[method-assign]
    ELBv2Backend.modify_target_group_attributes = modify_attributes_checked  # type: ignore[method-assign]


def _check_health_check(given: dict[str, Any], protocol: str | None) -> None:
    ranges = {
        "healthcheck_interval_seconds": ("interval", 5, 300),
        "healthcheck_timeout_seconds": ("timeout", 2, 120),
        "healthy_threshold_count": ("healthy threshold count", 2, 10),
        "unhealthy_threshold_count": ("unhealthy threshold count", 2, 10),
    }
    for name, (words, lowest, highest) in ranges.items():
        value = given.get(name)
        if value is not None and not lowest <= int(value) <= highest:
            raise ValidationError(f"Health check {words} '{value}' must be between '{lowest}' and '{highest}'")
    if protocol not in ("HTTP", "HTTPS"):
        return
    path = given.get("healthcheck_path")
    if path is not None and not (path.startswith("/") and len(path) <= 1024 and path.isprintable() and " " not in path):
        raise ValidationError(f"Health check path '{path}' must begin with a '/' character, and can have at most 1024")
    codes = (given.get("matcher") or {}).get("HttpCode")
    if codes and not (HTTP_CODES.fullmatch(codes) and all(200 <= int(c) <= 499 for c in re.findall(r"\d+", codes))):
        raise ValidationError(f"Health check matcher HTTP code '{codes}' must be within '200-499'")


def _install_targets() -> None:
    register, deregister = FakeTargetGroup.register, FakeTargetGroup.deregister

    @functools.wraps(register)
    def register_checked(self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            port = target.get("Port")
            if port is not None and not 1 <= int(port) <= 65535:
                raise ValidationError(f"Port '{port}' must be between '1' and '65535'")
        if self.target_type == "instance":
            _check_instances(self, [target["Id"] for target in targets])
        elif self.target_type == "ip":
            _check_addresses(self, [target["Id"] for target in targets])
        register(self, targets)

    @functools.wraps(deregister)
    def deregister_known(self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        """ "If the specified target does not exist, the action returns successfully" (DeregisterTargets)."""
        deregister(self, [target for target in targets if target["Id"] in self.targets])

    FakeTargetGroup.register = register_checked  # type: ignore[method-assign]
    FakeTargetGroup.deregister = deregister_known  # type: ignore[method-assign]


def _check_instances(group: FakeTargetGroup, ids: list[str]) -> None:
    for instance_id in ids:
        if not re.fullmatch(r"i-[0-9a-f]{8,17}", instance_id):
            raise ValidationError(f"Instance ID '{instance_id}' is not valid")
    found: dict[str, Any] = {instance_id: group.ec2_backend.get_instance_by_id(instance_id) for instance_id in ids}
    missing = ", ".join(f"'{instance_id}'" for instance_id, instance in found.items() if instance is None)
    if missing:
        raise InvalidTargetError(f"The following instances do not exist: {missing}")
    elsewhere = ", ".join(f"'{id_}'" for id_, instance in found.items() if instance.vpc_id != group.vpc_id)
    if elsewhere:
        raise InvalidTargetError(f"The following targets are not in the target group VPC '{group.vpc_id}': {elsewhere}")


def _check_addresses(group: FakeTargetGroup, addresses: list[str]) -> None:
    vpc: Any = group.ec2_backend.get_vpc(group.vpc_id)
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise ValidationError(f"The IP address '{text}' is not a valid IPv4 address") from None
        if not any(address in network for network in (ipaddress.ip_network(vpc.cidr_block), *PRIVATE_RANGES)):
            raise InvalidTargetError(
                f"The IP address '{text}' is not within a range that is valid for VPC '{group.vpc_id}'"
            )


# -- certificates -------------------------------------------------------------------------------------------------


class CertificateInUseError(AWSError):
    TYPE = "ResourceInUseException"


def listeners_with(certificate_arn: str) -> list[FakeListener]:
    """The listeners that use a certificate, as their default or for one of the names that clients ask for."""
    return [
        listener
        for backend in backends.each("elbv2")
        for load_balancer in backend.load_balancers.values()
        for listener in load_balancer.listeners.values()
        if certificate_arn in listener.certificates
    ]


def _install_certificates() -> None:
    get, delete = AWSCertificateManagerBackend.get_certificate, AWSCertificateManagerBackend.delete_certificate
    import_ = AWSCertificateManagerBackend.import_certificate

    @functools.wraps(get)
    def get_with_users(self: AWSCertificateManagerBackend, arn: str) -> Any:
        bundle = get(self, arn)
        bundle.in_use_by = sorted({listener.load_balancer_arn for listener in listeners_with(arn)})
        return bundle

    @functools.wraps(delete)
    def delete_unused(self: AWSCertificateManagerBackend, arn: str) -> None:
        if listeners_with(arn):
            raise CertificateInUseError(f"Certificate {arn} in account {self.account_id} is in use.")
        delete(self, arn)

    @functools.wraps(import_)
    def import_keeping_tags(self: AWSCertificateManagerBackend, *args: Any, **kwargs: Any) -> str:
        arn = kwargs.get("arn") or (args[3] if len(args) > 3 else None)
        known = self._certificates.get(arn) if arn else None
        imported = import_(self, *args, **kwargs)
        if known is not None:
            bundle = self._certificates[imported]
            for key, value in known.tags.items():
                bundle.tags.setdefault(key, value)
        return imported

    AWSCertificateManagerBackend.get_certificate = get_with_users  # type: ignore[method-assign]
    AWSCertificateManagerBackend.delete_certificate = delete_unused  # type: ignore[method-assign]
    AWSCertificateManagerBackend.import_certificate = import_keeping_tags  # type: ignore[method-assign]


# -- tags ---------------------------------------------------------------------------------------------------------


def _install_tags() -> None:
    describe = ELBv2Backend.describe_tags

    @functools.wraps(describe)
    def describe_known(self: ELBv2Backend, resource_arns: list[str]) -> dict[str, dict[str, str]]:
        for arn in resource_arns:
            self._get_resource_by_arn(arn)
        return describe(self, resource_arns)

    ELBv2Backend.describe_tags = describe_known  # type: ignore[method-assign]
