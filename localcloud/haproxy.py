"""HAProxy as an application load balancer: its configuration from plain values.

The configuration file holds what changes rarely: listeners, rules, target groups with their health checks. Changing it
is a reload, which hands the listening sockets and the servers' state over to a new process and loses no request.
Targets come and go over the runtime socket without any reload (`haproxy_runtime`).
Sources: HAProxy 3.0's configuration.txt and management.txt; how a load balancer behaves: AWS's ELB user guide.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

# Where a load balancer's own directory is inside its container.
DIRECTORY = "/run/localcloud"
CONFIG_FILE = "haproxy.cfg"
STATE_FILE = "servers.state"
ADMIN_SOCKET = "admin.sock"
MASTER_SOCKET = "master.sock"

CONNECT_TIMEOUT = 10  # seconds; an ALB's own, which can't be changed
# A target that refuses says so at once. What fails later did not answer: an ALB would have waited for CONNECT_TIMEOUT,
# HAProxy hears of an address that nobody has after 3 s.
REFUSAL_TIME = 1  # seconds
# Seconds between two checks of a target that none has passed yet. An ALB's nodes check on clocks of their own, so there
# too a target that has come up is noticed sooner than one interval later. The checks after that take the interval.
DOWN_INTERVAL = 1
WEIGHT = 100  # of a server in a group with slow start
MAX_FORWARDED_ADDRESSES = 30  # in X-Forwarded-For; a request with more is answered 463
GROUP_COOKIE = "AWSALBTG"  # which of a rule's target groups a client stays with
LB_COOKIE = "AWSALB"  # which target a client stays with, as the load balancer wants it
APP_COOKIE = "AWSALBAPP-0"  # which target a client stays with, as the application wants it

# What an ALB answers itself, in its own words.
ERRORS = {
    400: "Bad Request",
    403: "Forbidden",
    405: "Method Not Allowed",
    408: "Request Time-out",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
REDIRECTS = {301: "Moved Permanently", 302: "Found"}


# -- the load balancer as plain values ----------------------------------------------------------------------------


@dataclass(frozen=True)
class HealthCheck:
    """A target group's health check; `interval` and `timeout` in seconds. `port` None: the port of the traffic.
    `tls` None: as the traffic.
    """

    path: str = "/"
    matcher: str = "200"
    interval: int = 30
    timeout: int = 5
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    port: int | None = None
    tls: bool | None = None


@dataclass(frozen=True)
class Stickiness:
    """How long, in seconds, a client stays with its target. `app_cookie`: only while it has this cookie of the
    application's own, from the moment that a target sets it.
    """

    duration: int
    app_cookie: str | None = None

    @property
    def cookie(self) -> str:
        return LB_COOKIE if self.app_cookie is None else APP_COOKIE


@dataclass(frozen=True)
class TargetGroup:
    """A target group; `slow_start` in seconds, 0 is off. `tls`: the targets speak HTTPS. `algorithm` is AWS's:
    round_robin, least_outstanding_requests or weighted_random.
    """

    name: str
    health_check: HealthCheck = HealthCheck()
    slow_start: int = 0
    tls: bool = False
    algorithm: str = "round_robin"
    stickiness: Stickiness | None = None

    @property
    def open_name(self) -> str:
        """The backend that gets the requests when all targets are unhealthy: a load balancer fails open."""
        return f"{self.name}.open"

    @property
    def balance(self) -> str:
        return {"least_outstanding_requests": "leastconn", "weighted_random": "random"}.get(
            self.algorithm, "roundrobin"
        )


@dataclass(frozen=True)
class Forward:
    """Forward to target groups: (name, weight), …; `sticky` is for how many seconds a client stays with its group."""

    groups: tuple[tuple[str, int], ...]
    sticky: int | None = None


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
    """What a rule asks for: `field` is one of path, host, method, source, header, query; one of `values` must match.

    `name` is the header's. `pairs` is what a query has instead of values: (key, value), …; the key None is any.
    """

    field: str
    values: tuple[str, ...] = ()
    name: str = ""
    pairs: tuple[tuple[str | None, str], ...] = ()


@dataclass(frozen=True)
class Rule:
    """A listener's rule; all conditions must hold. The default rule has none, and priority 0."""

    action: Action
    conditions: tuple[Condition, ...] = ()
    priority: int = 0


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain and private key, in PEM."""

    pem: bytes = field(repr=False)

    @property
    def file_name(self) -> str:
        return f"certificate-{hashlib.sha256(self.pem).hexdigest()[:16]}.pem"


@dataclass(frozen=True)
class Tls:
    """What an HTTPS listener speaks. The first certificate is for clients that ask for none of the others' names."""

    certificates: tuple[Certificate, ...]
    protocols: tuple[str, ...] = ("TLSv1.3", "TLSv1.2")
    ciphers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listener:
    """A listener; its rules in the order of their priority, the default rule last. `tls` None: HTTP."""

    port: int
    rules: tuple[Rule, ...]
    tls: Tls | None = None


@dataclass(frozen=True)
class LoadBalancer:
    """What the configuration file says. `idle_timeout` and `client_keep_alive` (a connection's longest life) in
    seconds; `forwarded_for` is append, preserve or remove; `socket_uid` may use the runtime sockets.
    """

    listeners: tuple[Listener, ...] = ()
    groups: tuple[TargetGroup, ...] = ()
    idle_timeout: int = 60
    client_keep_alive: int = 3600
    http2: bool = True
    drop_invalid_headers: bool = False
    forwarded_for: str = "append"
    forwarded_client_port: bool = False
    tls_headers: bool = False
    access_log: bool = False
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
        "    # Half as many connections, or half of what the container may open; an ALB has no limit of its own.",
        "    fd-hard-limit 50000",
        "    # A new target is checked at once, not after a random part of its interval.",
        "    max-spread-checks 50",
        "    # A process that was replaced by a reload ends what it has begun.",
        f"    hard-stop-after {balancer.idle_timeout + 5}s",
        f"    server-state-file {DIRECTORY}/{STATE_FILE}",
        "    user haproxy",
        "    group haproxy",
        "defaults",
        "    mode http",
        f"    timeout connect {CONNECT_TIMEOUT}s",
        f"    timeout client {balancer.idle_timeout}s",
        f"    timeout server {balancer.idle_timeout}s",
        f"    timeout tunnel {balancer.idle_timeout}s",
        "    # As on AWS, a request that a target fails is not tried again elsewhere.",
        "    retries 0",
        "    # And a target is not kept busy for a client that went away.",
        "    option abortonclose",
        "    load-server-state-from-file global",
        "    # During a reload, idle connections are told to close by their next response, so no request is lost.",
        "    option idle-close-on-response",
        *(f"    http-error status {status} {_page(status, reason)}" for status, reason in ERRORS.items()),
    ]
    for listener in balancer.listeners:
        lines += _frontend(balancer, listener)
    for group in balancer.groups:
        lines += _backends(group, servers or {})
    return "\n".join(lines) + "\n"


def owner_of(text: str, number: int) -> tuple[int, int | None] | None:
    """Whose line `number` (from 1) of a configuration is: (listener's port, rule's priority or None), if anybody's."""
    for line in reversed(text.splitlines()[:number]):
        if not line.startswith(" "):
            found = re.fullmatch(r"frontend listener-(\d+)", line)
            return (int(found[1]), None) if found else None
        if found := re.fullmatch(r" +# listener (\d+)(?:, rule (\d+))?", line):
            return int(found[1]), None if found[2] is None else int(found[2])
    return None


def _page(status: int, reason: str) -> str:
    """An error page like an ALB's own."""
    return f"content-type text/html string {quote(_html(f'{status} {reason}'))} hdr Server awselb/2.0"


def _html(title: str) -> str:
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )


def _frontend(balancer: LoadBalancer, listener: Listener) -> list[str]:
    scheme = "https" if listener.tls else "http"
    # Whether the response is HAProxy's own: a target's own status is remembered.
    own = "!{ var(txn.target_status) -m found }"
    return [
        f"frontend listener-{listener.port}",
        f"    bind :{listener.port}{_bind_options(balancer, listener.tls)}",
        "    tcp-request connection set-var(sess.start) date",
        "    http-request set-var(txn.start) date(0,ms)",
        *(_access_log() if balancer.access_log else []),
        f"    http-request return status 405 {_page(405, ERRORS[405])} if METH_TRACE",
        f"    http-request return status 463 if {{ req.hdr_cnt(x-forwarded-for) gt {MAX_FORWARDED_ADDRESSES} }}",
        *(["    http-request del-header [^-A-Za-z0-9] -m reg"] if balancer.drop_invalid_headers else []),
        *_forwarded_for(balancer),
        f"    http-request set-header X-Forwarded-Proto {scheme}",
        f"    http-request set-header X-Forwarded-Port {listener.port}",
        *_trace_id(),
        *(_tls_headers() if balancer.tls_headers and listener.tls else []),
        *(line for rule in listener.rules for line in _decision(listener, rule)),
        *(line for rule in listener.rules for line in _action(listener, rule)),
        f"    # listener {listener.port}",
        *_backend_choice(balancer, listener),
        "    http-response set-var(txn.target_status) status",
        *(
            f"    http-after-response set-status {status} reason {quote(reason)} if {own} {{ status {status} }}"
            for status, reason in ERRORS.items()
            if status in (502, 503, 504)
        ),
        "    http-after-response set-header Date %[date,http_date] unless { res.hdr(date) -m found }",
        "    http-after-response set-header Connection close"
        f" if {{ date,sub(sess.start) ge {balancer.client_keep_alive} }}",
    ]


def _bind_options(balancer: LoadBalancer, tls: Tls | None) -> str:
    if tls is None:
        return ""
    # OpenSSL names the ciphers of TLS 1.3 apart. Older protocols than TLS 1.2 are refused whatever the policy says.
    suites = [cipher for cipher in tls.ciphers if cipher.startswith("TLS_")]
    ciphers = [cipher for cipher in tls.ciphers if not cipher.startswith("TLS_")]
    lowest = "TLSv1.3" if set(tls.protocols) == {"TLSv1.3"} else "TLSv1.2"
    highest = "TLSv1.3" if "TLSv1.3" in tls.protocols else "TLSv1.2"
    options = [
        "ssl",
        *(f"crt {DIRECTORY}/{certificate.file_name}" for certificate in tls.certificates),
        f"ssl-min-ver {lowest} ssl-max-ver {highest}",
        f"alpn {'h2,http/1.1' if balancer.http2 else 'http/1.1'}",
    ]
    if ciphers:
        options.append(f"ciphers {':'.join(ciphers)}")
    if suites:
        options.append(f"ciphersuites {':'.join(suites)}")
    return " " + " ".join(options)


def _access_log() -> list[str]:
    """One JSON object per request on the container's output; `access_logs` makes AWS's lines of them."""
    fields = {
        "port": "%[dst_port]",
        "tls": "%[ssl_fc]",
        "http_major": "%[fc_http_major]",
        "begun": "%[request_date(us)]",
        "client": "%ci",
        "client_port": "%cp",
        "request_time": "%TR",
        "queue_time": "%Tw",
        "connect_time": "%Tc",
        "target_time": "%Tr",
        "total_time": "%Ta",
        "status": "%ST",
        "target_status": "%[var(txn.target_status)]",
        "received": "%U",
        "sent": "%B",
        "backend": "%b",
        "server": "%s",
        "end": "%ts",
        "method": "%[var(txn.method)]",
        "url": "%[var(txn.url)]",
        "version": "%HV",
        "host": "%[var(txn.host)]",
        "agent": "%[var(txn.agent)]",
        "trace_id": "%[var(txn.trace_id)]",
        "rule": "%[var(txn.rule)]",
        "location": "%[var(txn.location)]",
        "cipher": "%sslc",
        "protocol": "%sslv",
        "sni": "%[ssl_fc_sni]",
        "certificate": "%[ssl_f_sha1,hex]",
        "resumed": "%[ssl_fc_is_resumed]",
    }
    values = " ".join(f"%({name}){value[1:]}" for name, value in fields.items())
    return [
        "    log stdout len 8192 format raw daemon info",
        f'    log-format "%{{+json}}o {values}"',
        "    http-request set-var(txn.method) method",
        "    http-request set-var(txn.url) url",
        "    http-request set-var(txn.host) req.hdr(host)",
        "    http-request set-var(txn.agent) req.fhdr(user-agent)",
    ]


def _forwarded_for(balancer: LoadBalancer) -> list[str]:
    """What an ALB does with X-Forwarded-For: append the client (the default), keep it as it is, or remove it."""
    if balancer.forwarded_for == "preserve":
        return []
    if balancer.forwarded_for == "remove":
        return ["    http-request del-header X-Forwarded-For"]
    client = "%[src]:%[src_port]" if balancer.forwarded_client_port else "%[src]"
    return [
        f'    http-request replace-header X-Forwarded-For ^(.*)$ "\\1, {client}"',
        f"    http-request set-header X-Forwarded-For {client} unless {{ req.fhdr(x-forwarded-for) -m found }}",
    ]


def _trace_id() -> list[str]:
    name = "X-Amzn-Trace-Id"
    fresh = "1-%[date,bytes(4,4),hex,lower]-%[uuid(4),regsub(-,,g),bytes(8,24)]"
    has_root = f"{{ req.fhdr({name}) -m sub Root= }}"
    return [
        f'    http-request replace-header {name} ^(.*)$ "Self={fresh};\\1" if {has_root}',
        f"    http-request set-header {name} Root={fresh} unless {has_root}",
        f"    http-request set-var(txn.trace_id) req.fhdr({name})",
    ]


def _tls_headers() -> list[str]:
    return [
        "    http-request set-header x-amzn-tls-version %[ssl_fc_protocol]",
        "    http-request set-header x-amzn-tls-cipher-suite %[ssl_fc_cipher]",
    ]


# -- rules --------------------------------------------------------------------------------------------------------


def _decision(listener: Listener, rule: Rule) -> list[str]:
    """The first rule whose conditions hold is the one: its priority goes into a variable that the actions look at."""
    conditions = " ".join(["!{ var(txn.rule) -m found }", *(_condition(condition) for condition in rule.conditions)])
    return [
        f"    # listener {listener.port}, rule {rule.priority}",
        f"    http-request set-var(txn.rule) int({rule.priority}) if {conditions}",
    ]


def _action(listener: Listener, rule: Rule) -> Iterator[str]:
    chosen = f"{{ var(txn.rule) -m int {rule.priority} }}"
    yield f"    # listener {listener.port}, rule {rule.priority}"
    if isinstance(rule.action, FixedResponse):
        body = f" content-type {quote(rule.action.content_type)} string {quote(rule.action.body)}"
        yield (
            f"    http-request return status {rule.action.status}{body if rule.action.body else ''}"
            f" hdr Server awselb/2.0 if {chosen}"
        )
    elif isinstance(rule.action, Redirect):
        yield from _redirect(rule.action, "https" if listener.tls else "http", chosen)
    else:
        yield from _forward(rule.action, chosen)


def _forward(action: Forward, chosen: str) -> Iterator[str]:
    """The target group by chance, as its weight says; the last of these lines that applies decides."""
    total = sum(weight for _name, weight in action.groups)
    if len(action.groups) > 1:
        yield f"    http-request set-var(txn.pick) rand({max(total, 1)}) if {chosen}"
    reached = total
    for name, weight in reversed(action.groups if total else ()):
        picked = f" {{ var(txn.pick) -m int lt {reached} }}" if len(action.groups) > 1 else ""
        yield f"    http-request set-var(txn.group) str({quote(name)}) if {chosen}{picked}"
        reached -= weight
    if action.sticky is None:
        return
    for name, _weight in action.groups:
        wanted = f'{{ req.cook({GROUP_COOKIE}) -m str "{opaque(name)}" }}'
        yield f"    http-request set-var(txn.group) str({quote(name)}) if {chosen} {wanted}"
    for name, _weight in action.groups:
        here = f"{{ var(txn.group) -m str {quote(name)} }}"
        yield f"    http-request set-var(txn.group_cookie) str({opaque(name)}) if {chosen} {here}"
    for line in _cookies(GROUP_COOKIE, "%[var(txn.group_cookie)]", action.sticky):
        yield f"    http-after-response {line} if {chosen} {{ var(txn.target_status) -m found }}"


def _cookies(name: str, value: str, duration: int) -> Iterator[str]:
    """A cookie of the load balancer, and its twin for requests from other sites."""
    expires = f"Expires=%[date({duration}),http_date]; Path=/"
    yield f'add-header Set-Cookie "{name}={value}; {expires}"'
    yield f'add-header Set-Cookie "{name}CORS={value}; {expires}; SameSite=None; Secure"'


def _redirect(redirect: Redirect, scheme: str, chosen: str) -> Iterator[str]:
    title = f"{redirect.status} {REDIRECTS[redirect.status]}"
    query = _fill(redirect.query, scheme)
    target = "".join(
        [
            _fill(redirect.protocol, scheme).lower() if redirect.protocol != "#{protocol}" else scheme,
            "://",
            _fill(redirect.host, scheme),
            f":{_fill(redirect.port, scheme)}" if redirect.port else "",
            _fill(redirect.path, scheme),
        ]
    )
    yield f"    http-request set-var-fmt(txn.query) {quote('?' + query)} if {chosen}"
    yield f'    http-request set-var(txn.query) str() if {chosen} {{ var(txn.query) -m str "?" }}'
    yield f"    http-request set-var-fmt(txn.location) {quote(target + '%[var(txn.query)]')} if {chosen}"
    yield (
        f"    http-request return status {redirect.status} content-type text/html string {quote(_html(title))}"
        f' hdr Server awselb/2.0 hdr Location "%[var(txn.location)]" if {chosen}'
    )


def _fill(text: str, scheme: str) -> str:
    """One part of a Location header as HAProxy's log format."""
    values = {
        "#{protocol}": scheme,
        "#{host}": "%[req.hdr(host),field(1,:)]",
        "#{port}": "%[dst_port]",
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }
    parts = re.split(r"(#\{\w+\})", text)
    return "".join(values.get(part, part.replace("%", "%%")) for part in parts)


def _backend_choice(balancer: LoadBalancer, listener: Listener) -> Iterator[str]:
    """All unhealthy: the load balancer fails open. No target at all: no backend, which is a 503."""
    named = {
        name for rule in listener.rules if isinstance(rule.action, Forward) for name, _weight in rule.action.groups
    }
    for group in balancer.groups:
        if group.name in named:
            empty = f"{{ var(txn.group) -m str {quote(group.name)} }} {{ nbsrv({group.name}) eq 0 }}"
            has_open = f"{{ nbsrv({group.open_name}) gt 0 }}"
            yield f"    http-request unset-var(txn.group) if {empty} !{has_open}"
            yield f"    http-request set-var(txn.group) str({quote(group.open_name)}) if {empty} {has_open}"
    yield "    use_backend %[var(txn.group)] if { var(txn.group) -m found }"


def _condition(condition: Condition) -> str:
    fetch, values = {
        "path": ("path -m reg", [_pattern(value) for value in condition.values]),
        "host": ("req.hdr(host),field(1,:) -m reg -i", [_pattern(value) for value in condition.values]),
        "header": (f"{_header(condition.name)} -m reg -i", [_pattern(value) for value in condition.values]),
        "query": ("query -m reg -i", [_query_pattern(*pair) for pair in condition.pairs]),
        "method": ("method", list(condition.values)),
        "source": ("src", list(condition.values)),
    }[condition.field]
    return f"{{ {fetch} {' '.join(quote(value) for value in values)} }}"


def _header(name: str) -> str:
    """The fetch of a header. A quote in the name is escaped twice: for the line, and for the fetch's argument."""
    argument = name.replace("'", "\\'")
    return quote(f"req.fhdr({argument})")


def _pattern(value: str) -> str:
    """A regular expression for AWS's wildcards: * is anything, ? is one character. A backslash makes them plain."""
    return f"^{_wildcards(value, '.')}$"


def _query_pattern(key: str | None, value: str) -> str:
    """A regular expression that finds a key with this value in a query; without a key, this value of any key."""
    inside = "[^&]"
    start = "([^&=]*=)?" if key is None else f"{_wildcards(key, inside)}="
    return f"(^|&){start}{_wildcards(value, inside)}(&|$)"


def _wildcards(value: str, any_character: str) -> str:
    parts = re.findall(r"\\[*?\\]|.", value, flags=re.DOTALL)
    wildcards = {"*": f"{any_character}*", "?": any_character}
    return "".join(wildcards.get(part) or re.escape(part[-1]) for part in parts)


def opaque(name: str) -> str:
    """A cookie's value that stands for a target or a group, and says nothing about it."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def quote(text: str) -> str:
    """A word of HAProxy's configuration that stands for exactly this text."""
    return '"' + "".join(_quoted(byte) for byte in text.encode()) + '"'


def _quoted(byte: int) -> str:
    character = chr(byte)
    plain = character.isascii() and (character.isalnum() or character in " -_./:,;=+*?^()[]{}<>@&!|%#")
    return character if plain else f"\\x{byte:02x}"


# -- target groups ------------------------------------------------------------------------------------------------


def _backends(group: TargetGroup, servers: Mapping[str, Iterable[Server]]) -> list[str]:
    check = group.health_check
    return [
        f"backend {group.name}",
        *_responses(),
        f"    balance {group.balance}",
        *(_sticky(group.stickiness) if group.stickiness else []),
        "    option httpchk",
        f"    http-check send meth GET uri {quote(check.path)} ver HTTP/1.1"
        " hdr User-Agent ELB-HealthChecker/2.0 hdr Host %[srv_name,field(2,_)]",
        f"    http-check expect status {check.matcher.replace(' ', '')}",
        f"    timeout check {check.timeout}s",
        # Changed keywords of the servers are a changed configuration, even while there is no server.
        f"    # servers: {_check_options(group)}",
        *(f"    server {server.name} {server_options(group, server)}" for server in servers.get(group.name, ())),
        f"backend {group.open_name}",
        *_responses(),
        f"    balance {group.balance}",
        *(f"    server {server.name} {open_options(group, server)}" for server in servers.get(group.open_name, ())),
    ]


def _responses() -> list[str]:
    """HAProxy says 503 when it gets no connection. An ALB says 502 to a refusal, 504 when nobody answered."""
    late = f"date(0,ms),sub(txn.start),div({REFUSAL_TIME * 1000})"
    titles = {status: f"{status} {ERRORS[status]}" for status in (502, 504)}
    page = _html("TITLE").replace("TITLE", f"%[{late},iif({titles[504]},{titles[502]})]")
    own = "!{ var(txn.target_status) -m found } { status 503 }"
    return [
        f"    http-error status 503 content-type text/html lf-string {quote(page)} hdr Server awselb/2.0",
        f"    http-after-response set-status 504 if {own} {{ {late} gt 0 }}",
        f"    http-after-response set-status 502 if {own}",
    ]


def _sticky(stickiness: Stickiness) -> list[str]:
    """Each answer of a target sets the cookie anew; HAProxy knows by it which server a request belongs to."""
    name = stickiness.cookie
    lines = [f"    cookie {name} rewrite"]
    wanted = ""
    if stickiness.app_cookie:
        application = quote(stickiness.app_cookie)
        lines.append(f"    ignore-persist unless {{ req.cook({application}) -m found }}")
        wanted = f" if {{ res.cook({application}) -m found }}"
    own, cors = _cookies(name, "%[srv_name,sha2(256),hex,lower,bytes(0,32)]", stickiness.duration)  # as opaque()
    lines.append(f"    http-response {own}{wanted}")
    if name == LB_COOKIE:
        lines.append(f"    http-response {cors}{wanted}")
    return lines


def open_options(group: TargetGroup, server: Server) -> str:
    """The keywords of a server in the backend for when all are unhealthy."""
    return f"{server.address}:{server.port}" + (" ssl verify none" if group.tls else "")


def server_options(group: TargetGroup, server: Server, slow_start: bool = True) -> str:
    """A server's keywords, the same in the file and for `add server`. `slow_start`: if its group has one."""
    cookie = f" cookie {opaque(server.name)}" if group.stickiness else ""
    return f"{open_options(group, server)} {_check_options(group, slow_start)}{cookie}"


def _check_options(group: TargetGroup, slow_start: bool = True) -> str:
    check = group.health_check
    check_tls = group.tls if check.tls is None else check.tls
    options = [
        f"check inter {check.interval}s downinter {DOWN_INTERVAL}s",
        f"rise {check.healthy_threshold} fall {check.unhealthy_threshold}",
    ]
    if check_tls:
        options.append("check-ssl" if group.tls else "check-ssl verify none")
    elif group.tls:
        options.append("no-check-ssl")
    if check.port is not None:
        options.append(f"port {check.port}")
    if group.slow_start:
        # A weight that can be divided into many steps.
        options.append(f"weight {WEIGHT}" + (f" slowstart {group.slow_start}s" if slow_start else ""))
    return " ".join(options)
