"""HAProxy as an application load balancer: its configuration from plain values, and its runtime sockets.

The configuration file holds what changes rarely: listeners, rules, target groups with their health checks. Changing it
is a reload, which hands the listening sockets and the servers' state over to a new process and loses no request.
Targets come and go over the runtime socket without any reload.
Sources: HAProxy 3.0's configuration.txt and management.txt; how a load balancer behaves: AWS's ELB user guide.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Where a load balancer's own directory is inside its container.
DIRECTORY = "/run/localcloud"
CONFIG_FILE = "haproxy.cfg"
STATE_FILE = "servers.state"
ADMIN_SOCKET = "admin.sock"
MASTER_SOCKET = "master.sock"

CONNECT_TIMEOUT = 10  # seconds; an ALB's own, which can't be changed
# Seconds between two checks of a target that none has passed yet. An ALB's nodes check on clocks of their own, so there
# too a target that has come up is noticed sooner than one interval later. The checks after that take the interval.
DOWN_INTERVAL = 1
ADMIN_DRAIN = 0x08 | 0x10  # bits of srv_admin_state
RELOAD_TIMEOUT = 30  # seconds for a new process to read the configuration
REMOVAL_WAIT = 2  # seconds for a removed server's connections to end, once they were told to


class HAProxyError(RuntimeError):
    """HAProxy does not answer, or refuses what it was told."""


# -- the load balancer as plain values ----------------------------------------------------------------------------


@dataclass(frozen=True)
class HealthCheck:
    """A target group's health check; `interval` and `timeout` in seconds. `port` None: the port of the traffic."""

    path: str = "/"
    matcher: str = "200"
    interval: int = 30
    timeout: int = 5
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    port: int | None = None


@dataclass(frozen=True)
class TargetGroup:
    """A target group; `slow_start` in seconds, 0 is off. `tls`: the targets speak HTTPS."""

    name: str
    health_check: HealthCheck = HealthCheck()
    slow_start: int = 0
    tls: bool = False

    @property
    def open_name(self) -> str:
        """The backend that gets the requests when all targets are unhealthy: a load balancer fails open."""
        return f"{self.name}.open"


@dataclass(frozen=True)
class Forward:
    """Forward to target groups: (name, weight), …"""

    groups: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class FixedResponse:
    status: int
    content_type: str = "text/plain"
    body: str = ""


@dataclass(frozen=True)
class Redirect:
    """A redirect; the parts may hold #{protocol}, #{host}, #{port}, #{path} and #{query} as on AWS."""

    status: int
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"


Action = Forward | FixedResponse | Redirect


@dataclass(frozen=True)
class Condition:
    """What a rule asks for: `field` is one of path, host, method, source; one of `values` must match."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """A listener's rule; all conditions must hold. The default rule has none."""

    action: Action
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Listener:
    """An HTTP listener; its rules in the order of their priority, the default rule last."""

    port: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class LoadBalancer:
    """What the configuration file says; `idle_timeout` in seconds, `socket_uid` may use the runtime sockets."""

    listeners: tuple[Listener, ...] = ()
    groups: tuple[TargetGroup, ...] = ()
    idle_timeout: int = 60
    socket_uid: int = 0


@dataclass(frozen=True)
class Server:
    """A target as HAProxy knows it. The address is part of its name, from which the health check takes its Host."""

    target_id: str
    address: str
    port: int

    @property
    def name(self) -> str:
        return f"{self.target_id}_{self.address}:{self.port}"

    @classmethod
    def from_name(cls, name: str) -> Server:
        target_id, _, endpoint = name.rpartition("_")
        address, _, port = endpoint.rpartition(":")
        return cls(target_id, address, int(port))


# -- configuration ------------------------------------------------------------------------------------------------


def render(balancer: LoadBalancer, servers: Mapping[str, Iterable[Server]] | None = None) -> str:
    """The configuration file. `servers`: backend name -> servers that take their state over from the last process."""
    lines = [
        "global",
        f"    stats socket {DIRECTORY}/{ADMIN_SOCKET} mode 600 uid {balancer.socket_uid} level admin",
        "    log stdout format raw daemon notice",
        "    maxconn 4000",
        "    # A new target is checked at once, not after a random part of its interval.",
        "    max-spread-checks 50",
        "    # A process that was replaced by a reload ends what it has begun.",
        f"    hard-stop-after {balancer.idle_timeout + 5}s",
        f"    server-state-file {DIRECTORY}/{STATE_FILE}",
        "    user haproxy",
        "    group haproxy",
        "defaults",
        "    mode http",
        "    log global",
        f"    timeout connect {CONNECT_TIMEOUT}s",
        f"    timeout client {balancer.idle_timeout}s",
        f"    timeout server {balancer.idle_timeout}s",
        f"    timeout tunnel {balancer.idle_timeout}s",
        "    # As on AWS, a request that a target fails is not tried again elsewhere.",
        "    retries 0",
        "    load-server-state-from-file global",
        "    # During a reload, idle connections are told to close by their next response, so no request is lost.",
        "    option idle-close-on-response",
    ]
    for listener in balancer.listeners:
        lines += _frontend(listener)
    for group in balancer.groups:
        lines += _backends(group, servers or {})
    return "\n".join(lines) + "\n"


def _frontend(listener: Listener) -> list[str]:
    return [
        f"frontend listener-{listener.port}",
        f"    bind :{listener.port}",
        # What an ALB adds: the client is appended to X-Forwarded-For, the other two are overwritten.
        '    http-request replace-header X-Forwarded-For ^(.*)$ "\\1, %[src]"',
        "    http-request set-header X-Forwarded-For %[src] unless { req.fhdr(x-forwarded-for) -m found }",
        "    http-request set-header X-Forwarded-Proto http",
        f"    http-request set-header X-Forwarded-Port {listener.port}",
        *_trace_id(),
        *(line for rule in _numbered(listener.rules) for line in rule),
    ]


def _trace_id() -> list[str]:
    name = "X-Amzn-Trace-Id"
    fresh = "1-%[date,bytes(4,4),hex,lower]-%[uuid(4),regsub(-,,g),bytes(8,24)]"
    has_root = f"{{ req.fhdr({name}) -m sub Root= }}"
    return [
        f'    http-request replace-header {name} ^(.*)$ "Self={fresh};\\1" if {has_root}',
        f"    http-request set-header {name} Root={fresh} unless {has_root}",
    ]


def _numbered(rules: tuple[Rule, ...]) -> Iterator[list[str]]:
    """The first rule whose conditions hold is the one: its number goes into a variable that the actions look at."""
    if len(rules) == 1 and not rules[0].conditions:
        yield _action_lines(rules[0].action, "")
        return
    for number, rule in enumerate(rules):
        undecided = "!{ var(txn.rule) -m found }"
        conditions = " ".join([undecided, *(_condition(condition) for condition in rule.conditions)])
        yield [f"    http-request set-var(txn.rule) int({number}) if {conditions}"]
    for number, rule in enumerate(rules):
        yield _action_lines(rule.action, f"{{ var(txn.rule) -m int {number} }}")


def _action_lines(action: Action, condition: str) -> list[str]:
    suffix = f" if {condition}" if condition else ""
    if isinstance(action, FixedResponse):
        body = f" content-type {quote(action.content_type)} string {quote(action.body)}" if action.body else ""
        return [f"    http-request return status {action.status}{body}{suffix}"]
    if isinstance(action, Redirect):
        return [f"    http-request redirect code {action.status} location {_location(action)}{suffix}"]
    lines = []
    total = sum(weight for _name, weight in action.groups)
    if len(action.groups) > 1:
        lines.append(f"    http-request set-var(txn.pick) rand({max(total, 1)}){suffix}")
    reached = 0
    for name, weight in action.groups:
        reached += weight
        wanted = [condition] if condition else []
        if len(action.groups) > 1:
            wanted.append(f"{{ var(txn.pick) -m int lt {reached} }}")
        fail_open = [*wanted, f"{{ nbsrv({name}) eq 0 }}", f"{{ nbsrv({name}.open) gt 0 }}"]
        lines.append(f"    use_backend {name}.open if {' '.join(fail_open)}")
        lines.append(f"    use_backend {name}" + (f" if {' '.join(wanted)}" if wanted else ""))
    return lines


def _condition(condition: Condition) -> str:
    values = " ".join(quote(value if condition.field in ("method", "source") else _pattern(value))
                      for value in condition.values)  # fmt: skip
    fetch = {
        "path": "path -m reg",
        "host": "req.hdr(host),field(1,:) -m reg -i",
        "method": "method",
        "source": "src",
    }[condition.field]
    return f"{{ {fetch} {values} }}"


def _pattern(value: str) -> str:
    """A regular expression for AWS's wildcards: * is anything, ? is one character."""
    return "^" + "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in value) + "$"


def _location(redirect: Redirect) -> str:
    """The Location header as HAProxy's log format."""
    values = {
        "#{protocol}": "http",
        "#{host}": "%[req.hdr(host),field(1,:)]",
        "#{port}": "%[dst_port]",
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }

    def fill(text: str) -> str:
        parts = re.split(r"(#\{\w+\})", text)
        return "".join(values.get(part, part.replace("%", "%%")) for part in parts)

    port = f":{fill(redirect.port)}" if redirect.port not in ("", "#{port}") else ""
    if redirect.port == "#{port}":
        port = ":%[dst_port]"
    query = f"?{fill(redirect.query)}" if redirect.query else ""
    return quote(f"{fill(redirect.protocol).lower()}://{fill(redirect.host)}{port}{fill(redirect.path)}{query}")


def quote(text: str) -> str:
    """A word of HAProxy's configuration that stands for exactly this text."""
    return '"' + "".join(_quoted(byte) for byte in text.encode()) + '"'


def _quoted(byte: int) -> str:
    character = chr(byte)
    plain = character.isascii() and (character.isalnum() or character in " -_./:,;=+*?^()[]{}<>@&!|%#")
    return character if plain else f"\\x{byte:02x}"


def _backends(group: TargetGroup, servers: Mapping[str, Iterable[Server]]) -> list[str]:
    check = group.health_check
    return [
        f"backend {group.name}",
        "    balance roundrobin",
        "    option httpchk",
        f"    http-check send meth GET uri {quote(check.path)} ver HTTP/1.1"
        " hdr User-Agent ELB-HealthChecker/2.0 hdr Host %[srv_name,field(2,_)]",
        f"    http-check expect status {check.matcher.replace(' ', '')}",
        f"    timeout check {check.timeout}s",
        # Changed keywords of the servers are a changed configuration, even while there is no server.
        f"    # servers: {_check_options(group)}",
        *(f"    server {server.name} {server_options(group, server)}" for server in servers.get(group.name, ())),
        f"backend {group.open_name}",
        "    balance roundrobin",
        *(f"    server {server.name} {_endpoint(group, server)}" for server in servers.get(group.open_name, ())),
    ]


def _endpoint(group: TargetGroup, server: Server) -> str:
    return f"{server.address}:{server.port}" + (" ssl verify none" if group.tls else "")


def server_options(group: TargetGroup, server: Server) -> str:
    """A server's keywords, the same in the file and for `add server`."""
    return f"{_endpoint(group, server)} {_check_options(group)}"


def _check_options(group: TargetGroup) -> str:
    check = group.health_check
    options = [
        f"check inter {check.interval}s downinter {DOWN_INTERVAL}s",
        f"rise {check.healthy_threshold} fall {check.unhealthy_threshold}",
    ]
    if group.tls:
        options.append("check-ssl")
    if check.port is not None:
        options.append(f"port {check.port}")
    if group.slow_start:
        options.append(f"slowstart {group.slow_start}s")
    return " ".join(options)


# -- runtime ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServerStatus:
    """A line of `show stat`. `status` is UP, DOWN, MAINT, DRAIN, `no check`; `check` such as L7OK, L7STS, L4TOUT."""

    backend: str
    name: str
    status: str
    check: str
    check_code: str
    sessions: int

    @property
    def up(self) -> bool:
        return self.status.startswith("UP")

    @property
    def down(self) -> bool:
        return self.status.startswith("DOWN")


class Runtime:
    """A running HAProxy, through the sockets in its directory (as seen from this machine)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def command(self, command: str, timeout: float = 5, name: str = ADMIN_SOCKET) -> str:
        """Send a command and return the answer. Raises HAProxyError when nobody answers within `timeout` seconds."""
        try:
            with self._connect(name, timeout) as connection:
                connection.sendall(command.encode() + b"\n")
                answer = b""
                while part := connection.recv(65536):
                    answer += part
        except OSError as error:
            raise HAProxyError(f"HAProxy does not answer at {self._directory / name}: {error}") from error
        return answer.decode().strip()

    @contextlib.contextmanager
    def _connect(self, name: str, timeout: float) -> Iterator[socket.socket]:
        # A socket's path may have 107 bytes; through the directory's descriptor it is short wherever the project lies.
        directory = os.open(self._directory, os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(f"/proc/self/fd/{directory}/{name}")
                yield connection
        finally:
            os.close(directory)

    def answers(self) -> bool:
        try:
            return self.command("show version", timeout=1) != ""
        except HAProxyError:
            return False

    def servers(self) -> dict[str, dict[str, ServerStatus]]:
        """Backend name -> server name -> status."""
        found: dict[str, dict[str, ServerStatus]] = {}
        text = self.command("show stat -1 4 -1")
        for row in csv.DictReader(text.removeprefix("# ").splitlines()):
            status = ServerStatus(
                backend=row["pxname"],
                name=row["svname"],
                status=row["status"],
                check=row["check_status"].removeprefix("* "),
                check_code=row["check_code"],
                sessions=int(row["scur"] or 0),
            )
            found.setdefault(status.backend, {})[status.name] = status
        return found

    def admin_states(self) -> dict[tuple[str, str], int]:
        """(backend, server) -> the bits of its administrative state; 0 is ready."""
        states = {}
        for line in self.command("show servers state").splitlines():
            columns = line.split()
            if len(columns) > 6 and not line.startswith("#"):
                states[columns[1], columns[3]] = int(columns[6])
        return states

    def save_state(self) -> None:
        """Write what the next process takes over."""
        (self._directory / STATE_FILE).write_text(self.command("show servers state") + "\n")

    def reload(self) -> None:
        """Replace the process by one with the configuration on disk. Raises HAProxyError with HAProxy's own words."""
        answer = self.command("reload", timeout=RELOAD_TIMEOUT, name=MASTER_SOCKET)
        if not answer.startswith("Success=1"):
            raise HAProxyError(f"HAProxy refuses its configuration: {answer}")

    # -- targets

    def add(self, group: TargetGroup, server: Server) -> None:
        """Add a target. It gets no request until its health check has passed."""
        self._expect("New server registered", f"add server {group.name}/{server.name} {server_options(group, server)}")
        self.put_in_service(group.name, server.name)

    def put_in_service(self, backend: str, name: str) -> None:
        """Let the health checks decide about a target from now on, beginning with `down`."""
        target = f"{backend}/{name}"
        # HAProxy takes a server that leaves maintenance for healthy. Without weight that does no harm.
        self._expect("", f"set server {target} weight 0")
        self._expect("", f"enable health {target}")
        self._expect("", f"set server {target} state ready")
        self._expect("", f"set server {target} health down")
        self._expect("", f"set server {target} weight 100%")

    def add_open(self, group: TargetGroup, server: Server) -> None:
        """Add a target to the backend for when all are unhealthy."""
        target = f"{group.open_name}/{server.name}"
        self._expect("New server registered", f"add server {target} {_endpoint(group, server)}")
        self._expect("", f"set server {target} state ready")

    def drain(self, backend: str, name: str) -> None:
        """No new requests; those in flight go on."""
        self._expect("", f"set server {backend}/{name} state drain")

    def declare_healthy(self, backend: str, name: str) -> None:
        self._expect("", f"set server {backend}/{name} health up")

    def remove(self, backend: str, name: str) -> None:
        """Remove a target; what is in flight is cut off."""
        target = f"{backend}/{name}"
        self._expect("", f"set server {target} state maint")
        self._expect("", f"shutdown sessions server {target}")
        self.command(f"wait {REMOVAL_WAIT}s srv-removable {target}", timeout=REMOVAL_WAIT + 5)
        self._expect("Server deleted", f"del server {target}")

    def _expect(self, expected: str, command: str) -> None:
        answer = self.command(command)
        if answer != expected and not (expected and answer.startswith(expected)):
            raise HAProxyError(f"{command}: {answer or 'no answer'}")
