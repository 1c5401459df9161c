"""Access logs of load balancers: AWS's lines, as gzipped objects in the bucket that the attributes name.

HAProxy writes one JSON object per request to its container's output, where Docker keeps it while this process is away;
`AccessLogs` follows that output, and delivers what it read every few seconds. (AWS does so every five minutes.)
Source of the format: AWS's ELB user guide, "Access logs for your Application Load Balancer".
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker.errors
import requests
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from moto.moto_api._internal import mock_random

from localcloud.backends import API_LOCK
from localcloud.docker_host import DockerHost
from localcloud.haproxy import Server
from localcloud.load_balancer_config import UnsupportedError, describe_certificate, group_name, target_groups
from localcloud.overlay import elbv2

LOGGER = logging.getLogger(__name__)
DELIVERY_INTERVAL = 5.0  # seconds
POSITION_FILE = "access-log.position"  # Docker's time stamp of the last line that was delivered
UNDECIDED_RULE = "-1"  # the request was answered before any rule was looked at


@dataclass
class _Follower:
    """One load balancer's output. `lines`: (Docker's time stamp, what HAProxy wrote), read and not delivered yet."""

    container_id: str
    load_balancer: Any
    position_file: Path
    lines: list[tuple[str, str]] = field(default_factory=list)
    stream: Any = None
    ended: bool = False


class AccessLogs:
    """Follows the output of the HAProxies whose load balancers log, and delivers it."""

    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host
        self._home = docker_host.settings.home / "haproxy"
        self._followers: dict[str, _Follower] = {}
        self._lock = threading.Lock()
        self._deliverer: threading.Thread | None = None
        self._wake = threading.Event()

    def follow(self, key: str, load_balancer: Any, container_id: str | None) -> None:
        """From now on deliver what this container writes; None: no more. Quick, whatever was said before."""
        follower = self._followers.get(key)
        if follower is not None:
            if follower.container_id != container_id or follower.ended:
                self.end(key)  # what it read is delivered first; a later call finds it gone
        elif container_id is not None:
            position_file = self._home / key.rpartition("-")[2] / POSITION_FILE
            follower = _Follower(container_id, load_balancer, position_file)
            self._followers[key] = follower
            threading.Thread(target=self._read, args=[follower], name=f"access-log-{key}", daemon=True).start()
            if self._deliverer is None:
                self._deliverer = threading.Thread(target=self._deliver_all, name="access-logs", daemon=True)
                self._deliverer.start()
            self._wake.set()

    def end(self, key: str) -> None:
        follower = self._followers.get(key)
        if follower is None:
            return
        follower.ended = True
        if follower.stream is not None:
            with contextlib.suppress(Exception):  # it may have ended by itself
                follower.stream.close()
        self._wake.set()

    # -- in threads of their own ----------------------------------------------------------------------------------

    def _read(self, follower: _Follower) -> None:
        try:
            delivered = follower.position_file.read_text()
        except OSError:
            delivered = ""
        since = {"since": datetime.fromisoformat(delivered).timestamp()} if delivered else {}
        try:
            follower.stream = self._docker.api.logs(
                follower.container_id, stdout=True, stderr=False, stream=True, follow=True, timestamps=True, **since
            )
            for message in follower.stream:
                stamp, _, line = message.decode(errors="replace").rstrip().partition(" ")
                if stamp > delivered and line.startswith("{"):
                    with self._lock:
                        follower.lines.append((stamp, line))
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError, AttributeError) as error:
            if not follower.ended:
                LOGGER.warning("the access log of %s could not be read: %s", follower.load_balancer.name, error)
        follower.ended = True

    def _deliver_all(self) -> None:
        while True:
            for key, follower in list(self._followers.items()):
                ended = follower.ended
                with self._lock:
                    lines, follower.lines = follower.lines, []
                if lines:
                    try:
                        deliver(follower.load_balancer, [line for _stamp, line in lines])
                        follower.position_file.write_text(lines[-1][0])
                    except Exception:
                        LOGGER.exception("the access log of %s could not be delivered", follower.load_balancer.name)
                if ended and self._followers.get(key) is follower:
                    del self._followers[key]
            if not self._followers:
                self._wake.wait()
            self._wake.clear()
            self._wake.wait(DELIVERY_INTERVAL)


# -- AWS's lines --------------------------------------------------------------------------------------------------


def deliver(load_balancer: Any, lines: list[str]) -> None:
    """Put what HAProxy wrote into the bucket."""
    with API_LOCK:
        names = Names.of(load_balancer)
        text = "".join(f"{log_line(record, names)}\n" for record in map(parse, lines) if record)
        now = datetime.now(UTC)
        region, account, identity = load_balancer.arn.split(":", 5)[3:]
        elb = identity.removeprefix("loadbalancer/").replace("/", ".")
        address = load_balancer.interface.private_ip_address
        elbv2.write_log(
            load_balancer,
            f"elasticloadbalancing/{region}/{now:%Y/%m/%d}/{account}_elasticloadbalancing_{region}_{elb}_"
            f"{now:%Y%m%dT%H%MZ}_{address}_{mock_random.get_random_hex(8)}.log.gz",
            gzip.compress(text.encode()),
        )


def parse(line: str) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        LOGGER.warning("HAProxy wrote an access log line that is no JSON: %.200s", line)
        return None
    return record


@dataclass(frozen=True)
class Names:
    """The ARNs that a log line names. `groups`: backend -> target group; `certificates`: SHA-1 (hex) -> certificate."""

    load_balancer: str
    groups: Mapping[str, str]
    certificates: Mapping[str, str]
    actions: Mapping[tuple[int, int], str]

    @classmethod
    def of(cls, load_balancer: Any) -> Names:
        """Under the API lock."""
        certificates = {}
        actions = {}
        for listener in load_balancer.listeners.values():
            for arn in listener.certificates or []:
                with contextlib.suppress(UnsupportedError):
                    certificates[fingerprint(describe_certificate(arn).pem)] = arn
            for rule in listener.rules.values():
                priority = 0 if rule.is_default else int(rule.priority)
                actions[int(listener.port), priority] = rule.actions[-1].data["Type"]
        return cls(
            load_balancer.arn.split(":loadbalancer/")[1],
            {name: group.arn for group in target_groups(load_balancer) for name in backend_names(group)},
            certificates,
            actions,
        )


def backend_names(group: Any) -> tuple[str, str]:
    return group_name(group), f"{group_name(group)}.open"


@functools.lru_cache(maxsize=256)
def fingerprint(pem: bytes) -> str:
    return x509.load_pem_x509_certificate(pem).fingerprint(SHA1()).hex().upper()


def log_line(record: Mapping[str, Any], names: Names) -> str:
    """One line as AWS writes it, up to `conn_trace_id`."""

    def text(name: str) -> str:
        value = record.get(name)
        return "-" if value in (None, "", "-") else str(value)

    tls = bool(record.get("tls"))
    scheme = "https" if tls else "http"
    begun = datetime.fromtimestamp(int(record["begun"]) / 1e6, UTC)
    ended = datetime.fromtimestamp(int(record["begun"]) / 1e6 + max(int(record["total_time"]), 0) / 1e3, UTC)
    group = names.groups.get(record["backend"])
    target = "-"
    if group and record["server"] not in ("", "-", "<NOSRV>"):
        server = Server.from_name(record["server"])
        target = f"{server.address}:{server.port}"
    port = int(record["port"])
    rule = text("rule")
    host = text("host")
    url = f"{scheme}://{host if ':' in host else f'{host}:{port}'}{text('url')}"
    if rule == "-":
        rule = UNDECIDED_RULE
    # The client gave up first: AWS has a status of its own for that, which nobody is sent.
    status = 460 if str(record["end"]).startswith("C") and text("target_status") == "-" and group else record["status"]
    fields = [
        "h2" if tls and int(record["http_major"]) == 2 else scheme,
        iso_8601(ended),
        names.load_balancer,
        f"{record['client']}:{record['client_port']}",
        target,
        *times(record, dispatched=target != "-"),
        str(status),
        text("target_status"),
        str(record["received"]),
        str(record["sent"]),
        quoted(f"{text('method')} {url} {text('version')}"),
        quoted(text("agent")),
        text("cipher"),
        text("protocol"),
        group or "-",
        quoted(text("trace_id")),
        quoted(text("sni")),
        quoted(chosen_certificate(record, names) if tls else "-"),
        rule,
        iso_8601(begun),
        quoted(names.actions.get((port, int(rule)), "-")),
        quoted(text("location")),
        quoted("-"),  # error reason: of actions that are not here
        quoted(target),
        quoted(text("target_status")),
        quoted("-"),  # classification
        quoted("-"),  # its reason
        f"TID_{mock_random.get_random_hex(32)}",
    ]
    return " ".join(fields)


def chosen_certificate(record: Mapping[str, Any], names: Names) -> str:
    if record.get("resumed"):
        return "session-reused"
    return names.certificates.get(str(record.get("certificate", "")).upper(), "-")


def times(record: Mapping[str, Any], dispatched: bool) -> tuple[str, str, str]:
    """The three processing times in seconds: until the target has the request, until it answers, until the client
    gets the answer; -1 for what did not happen.
    """
    waited = [int(record[name]) for name in ("request_time", "queue_time", "connect_time")]
    if not dispatched or min(waited) < 0:
        return ("-1", "-1", "-1")
    request = f"{sum(waited) / 1000:.3f}"
    if int(record["target_time"]) < 0:
        return (request, "-1", "-1")
    return (request, f"{int(record['target_time']) / 1000:.3f}", "0.000")


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\x5C").replace('"', "\\x22") + '"'


def iso_8601(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
