"""The instance metadata service (IMDS): what an instance asks 169.254.169.254 about itself.

It answers from moto's state at the moment of the request, so a changed tag or option is seen at once. A HAProxy on each
VPC's network owns the address and passes requests on over a Unix socket, with the caller's address in a header
(`vpc_services.py`). Paths, states and texts are AWS's:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.utils import utcnow
from moto.ec2.utils import filter_iam_instance_profiles
from werkzeug.wrappers import Request, Response

from localcloud import backends
from localcloud.backends import API_LOCK
from localcloud.overlay.ec2 import decoded_user_data

LOGGER = logging.getLogger(__name__)
ADDRESS_HEADER, VPC_HEADER = "X-Localcloud-Address", "X-Localcloud-Vpc"  # set by HAProxy, whatever the caller sent
TOKEN_HEADER, TTL_HEADER = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
MAX_TOKEN_TTL = 21600  # seconds
VERSIONS = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
    "2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19",
    "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03",
    "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest",
)  # fmt: skip
NO_MACHINE = ("stopped", "terminated")
CREDENTIALS_DURATION = 6 * 3600  # seconds that a role's credentials are valid
CREDENTIALS_RENEWAL = 3600  # seconds before their end when new ones are handed out; SDKs ask 15 minutes before it
ERROR_PAGE = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{code} - {phrase}</title>
 </head>
 <body>
  <h1>{code} - {phrase}</h1>
 </body>
</html>
"""

# A directory is a dictionary of directories and leaves; a leaf is a text, or a function that gives it when it is asked
# for. Where AWS lists a directory otherwise than by its names, the text is under the key LISTING, which no path has.
Tree = dict[str, Any]
LISTING = ""


class Tokens:
    """IMDSv2's session tokens: the instance and the end of validity, signed. The key outlives the process."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> Tokens:
        """With the key in a file of mode 0600, which is made when it is not there."""
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        return cls(path.read_bytes())

    def issue(self, instance_id: str, ttl: int) -> str:
        expires = f"{time.time() + ttl:.0f}".encode()
        return base64.urlsafe_b64encode(self._sign(instance_id, expires) + expires).decode()

    def remaining(self, token: str, instance_id: str) -> int:
        """Seconds that a token is still valid; 0 when it isn't, or is another instance's."""
        try:
            decoded = base64.urlsafe_b64decode(token.encode())
        except ValueError:
            return 0
        signature, expires = decoded[:32], decoded[32:]
        if not hmac.compare_digest(signature, self._sign(instance_id, expires)):
            return 0
        return max(0, int(expires) - int(time.time()))

    def _sign(self, instance_id: str, expires: bytes) -> bytes:
        return hmac.digest(self._key, instance_id.encode() + b" " + expires, hashlib.sha256)


class InstanceMetadata:
    """The service, as a WSGI application."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        with API_LOCK:
            response = self._answer(request)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        address = request.headers.get(ADDRESS_HEADER, "")
        instance = find_instance(request.headers.get(VPC_HEADER, ""), address)
        if instance is None:
            LOGGER.warning("metadata for %s: no instance has this address", address)
            return error(HTTPStatus.NOT_FOUND)
        options = instance.metadata_options
        if options.http_endpoint == "disabled":
            return error(HTTPStatus.FORBIDDEN)
        if request.method == "PUT":
            return self._put(request, instance)
        if request.method not in ("GET", "HEAD"):
            return error(HTTPStatus.METHOD_NOT_ALLOWED)
        token = request.headers.get(TOKEN_HEADER)
        ttl = self._tokens.remaining(token, instance.id) if token else 0
        if (token or options.http_tokens == "required") and not ttl:
            return error(HTTPStatus.UNAUTHORIZED)
        content = read(document_tree(instance), request.path)
        if content is None:
            return error(HTTPStatus.NOT_FOUND)
        kind = "application/octet-stream" if isinstance(content, bytes) else "text/plain"
        return Response(content, headers={TTL_HEADER: str(ttl)} if ttl else None, content_type=kind)

    def _put(self, request: Request, instance: Any) -> Response:
        if request.path.rstrip("/") != "/latest/api/token":
            return error(HTTPStatus.NOT_FOUND)
        # Added by a proxy that an attacker may have made send the request.
        if "X-Forwarded-For" in request.headers:
            return error(HTTPStatus.FORBIDDEN)
        ttl = request.headers.get(TTL_HEADER, "")
        if not (ttl.isascii() and ttl.isdigit() and 1 <= int(ttl) <= MAX_TOKEN_TTL):
            return error(HTTPStatus.BAD_REQUEST)
        token = self._tokens.issue(instance.id, int(ttl))
        return Response(token, headers={TTL_HEADER: ttl}, content_type="text/plain")


def error(status: HTTPStatus) -> Response:
    page = ERROR_PAGE.format(code=status.value, phrase=status.phrase)
    return Response(page, status=status.value, content_type="text/html")


def find_instance(vpc_id: str, address: str) -> Any | None:
    """The instance that has this address in its VPC now."""
    for backend in backends.each("ec2"):
        if vpc_id not in backend.vpcs:
            continue
        for instance in backend.all_instances():
            if instance.private_ip == address and instance.vpc_id == vpc_id and instance.state not in NO_MACHINE:
                return instance
    return None


def read(root: Tree, path: str) -> str | bytes | None:
    """What a path holds: a leaf's content, a directory's listing, or None when there is nothing."""
    node: Any = root
    parts = [part for part in path.split("/") if part]
    for part in parts:
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    if isinstance(node, dict):
        return listing(node, parts)
    if path.endswith("/"):
        return None
    content: str | bytes = node() if callable(node) else node
    return content


def listing(directory: Tree, parts: list[str]) -> str:
    """A directory's names, one per line; below the versions, a slash marks directories."""
    if LISTING in directory:
        return str(directory[LISTING])
    slash = "/" if len(parts) > 1 else ""
    return "\n".join(name + (slash if isinstance(child, dict) else "") for name, child in directory.items())


# -- the documents, under the lock --------------------------------------------------------------------------------


def document_tree(instance: Any) -> Tree:
    version: Tree = {
        "dynamic": {"instance-identity": {"document": lambda: identity_document(instance)}},
        "meta-data": meta_data(instance),
    }
    user_data = decoded_user_data(instance)
    if user_data:
        version["user-data"] = user_data
    return dict.fromkeys(VERSIONS, version)


def meta_data(instance: Any) -> Tree:
    """`meta-data/`: names in AWS's order, those that don't apply left out."""
    primary = instance.nics[0]
    macs = {nic.mac_address: interface(instance, nic) for nic in instance.nics.values()}
    tree: Tree = {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.ami_launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": instance.root_device_name, "root": instance.root_device_name},
        "events": {"maintenance": {"history": "[]", "scheduled": "[]"}},
        "hostname": instance.private_dns_name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": instance.lifecycle or "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": instance.private_dns_name,
        "local-ipv4": instance.private_ip,
        "mac": primary.mac_address,
        "network": {"interfaces": {"macs": macs}},
        "placement": {
            "availability-zone": instance.availability_zone,
            "availability-zone-id": primary.subnet.availability_zone_id,
            "region": instance.region_name,
        },
        "profile": "default-hvm",
        "reservation-id": reservation_id(instance),
        "security-groups": "\n".join(group.name for group in security_groups(primary)),
        "services": {"domain": "amazonaws.com", "partition": instance.ec2_backend.partition},
        "system": "nitro",
    }
    if instance.placement.group_name:
        tree["placement"]["group-name"] = instance.placement.group_name
    if instance.placement.partition_number:
        tree["placement"]["partition-number"] = str(instance.placement.partition_number)
    if instance.public_ip:
        tree |= {"public-hostname": instance.public_dns_name or "", "public-ipv4": instance.public_ip}
    key_pair = instance.ec2_backend.key_pairs.get(instance.key_name)
    if key_pair and key_pair.material_public:
        openssh_key = f"{key_pair.material_public.decode().strip()}\n"
        tree["public-keys"] = {LISTING: f"0={instance.key_name}", "0": {"openssh-key": openssh_key}}
    profile = instance_profile(instance)
    if profile is not None:
        tree["iam"] = {"info": lambda: iam_info(profile)}
        if profile.roles:
            role = profile.roles[0]
            tree["iam"]["security-credentials"] = {role.name: lambda: role_credentials(instance, role)}
    member = autoscaling_member(instance)
    if member is not None:
        tree["autoscaling"] = {"target-lifecycle-state": target_lifecycle_state(member)}
    if instance.metadata_options.instance_metadata_tags == "enabled":
        tree["tags"] = {"instance": {tag["key"]: tag["value"] for tag in instance.get_tags()}}
    return dict(sorted(tree.items()))


def security_groups(nic: Any) -> list[Any]:
    return sorted(nic.group_set, key=lambda group: str(group.name))


def interface(instance: Any, nic: Any) -> Tree:
    """`network/interfaces/macs/<mac>/` of a network interface."""
    vpc = instance.ec2_backend.vpcs[nic.subnet.vpc_id]
    groups = security_groups(nic)
    tree: Tree = {
        "device-number": str(nic.device_index),
        "interface-id": nic.id,
        "local-hostname": instance.private_dns_name,
        "local-ipv4s": "\n".join(entry["PrivateIpAddress"] for entry in nic.private_ip_addresses),
        "mac": nic.mac_address,
        "owner-id": nic.owner_id,
        "security-group-ids": "\n".join(group.id for group in groups),
        "security-groups": "\n".join(group.name for group in groups),
        "subnet-id": nic.subnet.id,
        "subnet-ipv4-cidr-block": nic.subnet.cidr_block,
        "vpc-id": vpc.id,
        "vpc-ipv4-cidr-block": vpc.cidr_block,
        "vpc-ipv4-cidr-blocks": "\n".join(entry["cidr_block"] for entry in vpc.get_cidr_block_association_set()),
    }
    if nic.public_ip:
        tree["ipv4-associations"] = {nic.public_ip: nic.private_ip_address}
        tree |= {"public-hostname": instance.public_dns_name or "", "public-ipv4s": nic.public_ip}
    return dict(sorted(tree.items()))


def identity_document(instance: Any) -> str:
    """The instance identity document. (AWS signs it; nobody here could, so there are no signatures beside it.)"""
    document = {
        "accountId": instance.owner_id,
        "architecture": instance.architecture,
        "availabilityZone": instance.availability_zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": None,
        "marketplaceProductCodes": None,
        "pendingTime": time_text(instance.launch_time),
        "privateIp": instance.private_ip,
        "ramdiskId": None,
        "region": instance.region_name,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2, separators=(",", " : "))


def reservation_id(instance: Any) -> str:
    for reservation in instance.ec2_backend.reservations.values():
        if any(other is instance for other in reservation.instances):
            return str(reservation.id)
    return ""


def autoscaling_member(instance: Any) -> Any | None:
    group = getattr(instance, "autoscaling_group", None)
    members = group.instance_states if group is not None else []
    return next((member for member in members if member.instance is instance), None)


def target_lifecycle_state(member: Any) -> str:
    """Where a group's member is going: its own state without the ones on the way."""
    state = str(member.lifecycle_state)
    targets = {"Pending": "InService", "Terminating": "Terminated", "EnteringStandby": "Standby"}
    return targets.get(state.partition(":")[0], state)


# -- the instance profile's role ----------------------------------------------------------------------------------


def instance_profile(instance: Any) -> Any | None:
    if not instance.iam_instance_profile:
        return None
    backend, arn = instance.ec2_backend, instance.iam_instance_profile["Arn"]
    with contextlib.suppress(ServiceException):  # it was deleted
        return filter_iam_instance_profiles(
            backend.account_id,
            partition=backend.partition,
            iam_instance_profile_arn=arn,
            iam_instance_profile_name=None,
        )
    return None


def iam_info(profile: Any) -> str:
    info = {
        "Code": "Success",
        "LastUpdated": time_text(utcnow()),
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id,
    }
    return json.dumps(info, indent=2, separators=(",", " : "))


def role_credentials(instance: Any, role: Any) -> str:
    """Temporary keys of the role, from STS, that say which instance uses them. New ones before they expire."""
    known = getattr(instance, "role_credentials", None)
    if known is None or known.role_arn != role.arn or remaining(known.expiration) < CREDENTIALS_RENEWAL:
        backend = instance.ec2_backend
        sts = backends.backend("sts", backend.account_id, backend.partition)
        known = instance.role_credentials = sts.assume_role(
            region_name=instance.region_name,
            role_session_name=instance.id,
            role_arn=role.arn,
            policy=None,
            duration=CREDENTIALS_DURATION,
            external_id=None,
        )
    credentials = {
        "Code": "Success",
        "LastUpdated": time_text(known.expiration - timedelta(seconds=CREDENTIALS_DURATION)),
        "Type": "AWS-HMAC",
        "AccessKeyId": known.access_key_id,
        "SecretAccessKey": known.secret_access_key,
        "Token": known.session_token,
        "Expiration": time_text(known.expiration),
    }
    return json.dumps(credentials, indent=2, separators=(",", " : "))


def remaining(expiration: datetime) -> float:
    return (expiration - utcnow()).total_seconds()


def time_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
