"""Load balancers for the tests: web servers that can misbehave, and a load balancer before them."""

from __future__ import annotations

import datetime
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from running_cloud import Cloud, docker
from waiting import wait_until

# What the servers do depends on the path's last part. /health says what the file /run/health says: a status or `hang`.
# The same on port 80 and, with TLS, on 443.
SERVER = """#!/bin/sh
cat > /root/server.py <<'END'
import http.server, json, pathlib, socket, ssl, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        status, body, headers = 200, socket.gethostname(), {}
        command, _, argument = self.path.partition("?")[0].rpartition("/")[2].partition("-")
        if command == "health":
            file = pathlib.Path("/run/health")
            wanted = file.read_text().strip() if file.exists() else "200"
            if wanted == "hang":
                time.sleep(30)
                return
            status = int(wanted)
        elif command == "slow":
            time.sleep(float(argument or 2))
        elif command == "status":
            status = int(argument)
        elif command == "headers":
            body = json.dumps({name.lower(): value for name, value in self.headers.items()})
        elif command == "login":
            headers["Set-Cookie"] = "SESSION=1; Path=/"
        elif command == "close":
            self.close_connection = True
            return
        elif command == "garbage":
            self.wfile.write(b"this is no HTTP\\r\\n\\r\\n")
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def log_message(self, *arguments): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
secure = Server(("", 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/server.pem")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever, daemon=True).start()
Server(("", 80), Handler).serve_forever()
END
cat > /root/server.pem <<'END'
{pem}
END
systemd-run --unit=server python3 /root/server.py
"""


@dataclass(frozen=True)
class SelfSigned:
    """A self-signed certificate with its private key, both PEM."""

    certificate: bytes
    key: bytes

    @classmethod
    def for_names(cls, *names: str) -> SelfSigned:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=90))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def server_user_data() -> str:
    own = SelfSigned.for_names("target.internal")
    return SERVER.replace("{pem}", (own.certificate + own.key).decode())


@pytest.fixture(scope="session")
def web_servers(cloud: Cloud) -> Iterator[list[str]]:
    """Two instances in two zones that run the server above, shared by all tests of load balancers."""
    user_data = server_user_data()
    instance_ids = [cloud.run_instance(user_data, subnet) for subnet in (0, 1)]
    for instance_id in instance_ids:  # cloud-init starts their server
        wait_until(lambda i=instance_id: serves(cloud, i), 180, what=f"{instance_id} serves")
    yield instance_ids
    cloud.terminate(*instance_ids)


def serves(cloud: Cloud, instance_id: str) -> bool:
    try:
        docker("exec", cloud.container(instance_id), "curl", "--silent", "--fail", "http://localhost/health")
    except subprocess.CalledProcessError:
        return False
    return True


class Balancer:
    """An application load balancer; its listeners and target groups live until `reset` or `delete`."""

    def __init__(self, cloud: Cloud, name: str, **options: Any) -> None:
        self.cloud = cloud
        self.elbv2 = cloud.client("elbv2")
        self.name = name
        request = {"Subnets": cloud.subnet_ids, "SecurityGroups": [cloud.security_group_id], **options}
        self.description = self.elbv2.create_load_balancer(Name=name, Type="application", **request)["LoadBalancers"][0]
        self.first_state = self.description["State"]["Code"]
        self.arn, self.dns_name = self.description["LoadBalancerArn"], self.description["DNSName"]
        self.groups: list[str] = []

    @property
    def state(self) -> str:
        found = self.elbv2.describe_load_balancers(LoadBalancerArns=[self.arn])["LoadBalancers"][0]
        return str(found["State"]["Code"])

    @property
    def address(self) -> str:
        interfaces = self.cloud.client("ec2").describe_network_interfaces(
            Filters=[{"Name": "description", "Values": ["ELB " + self.arn.split(":loadbalancer/")[1]]}]
        )["NetworkInterfaces"]
        return str(interfaces[0]["PrivateIpAddress"])

    @property
    def container(self) -> str:
        return self.cloud.container("-".join(self.arn.split("/")[-2:]))

    def set_attributes(self, **attributes: str) -> None:
        """Set load balancer attributes; a dot in a name is a double underscore here."""
        self.elbv2.modify_load_balancer_attributes(LoadBalancerArn=self.arn, Attributes=as_attributes(attributes))

    # -- target groups

    def create_group(
        self, name: str, *instance_ids: str, attributes: dict[str, str] | None = None, **options: Any
    ) -> str:
        """A target group with these targets; its checks are as quick as AWS allows."""
        request = {
            "Protocol": "HTTP",
            "Port": 80,
            "VpcId": self.cloud.vpc_id,
            "HealthCheckPath": "/health",
            "HealthCheckIntervalSeconds": 5,
            "HealthCheckTimeoutSeconds": 2,
            "HealthyThresholdCount": 2,
            "UnhealthyThresholdCount": 2,
            "Matcher": {"HttpCode": "200-299"},
            **options,
        }
        arn = str(self.elbv2.create_target_group(Name=name, **request)["TargetGroups"][0]["TargetGroupArn"])
        self.groups.append(arn)
        given = {"deregistration_delay__timeout_seconds": "4", **(attributes or {})}
        self.elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=as_attributes(given))
        if instance_ids:
            self.register(arn, *instance_ids)
        return arn

    def register(self, group: str, *target_ids: str) -> None:
        self.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": id_} for id_ in target_ids])

    def deregister(self, group: str, *target_ids: str) -> None:
        self.elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": id_} for id_ in target_ids])

    def health(self, group: str) -> dict[str, dict[str, str]]:
        answer = self.elbv2.describe_target_health(TargetGroupArn=group)
        return {row["Target"]["Id"]: row["TargetHealth"] for row in answer["TargetHealthDescriptions"]}

    def wait_for(self, state: str, group: str, *target_ids: str, timeout: float = 40) -> None:
        wait_until(
            lambda: all(self.health(group)[id_]["State"] == state for id_ in target_ids or self.health(group)),
            timeout,
            what=f"targets of {group} {state}",
        )

    # -- listeners

    def listen(self, port: int, *actions: dict[str, Any], **options: Any) -> str:
        """Create a listener; its ARN once it accepts connections."""
        request = {"Protocol": "HTTP", "Port": port, "DefaultActions": list(actions), **options}
        arn = self.elbv2.create_listener(LoadBalancerArn=self.arn, **request)["Listeners"][0]["ListenerArn"]
        wait_until(lambda: self.accepts(port), 30, what=f"port {port} of {self.name} accepts connections")
        return str(arn)

    def add_rule(self, listener: str, priority: int, action: dict[str, Any], *conditions: dict[str, Any]) -> str:
        rule = self.elbv2.create_rule(
            ListenerArn=listener, Priority=priority, Actions=[action], Conditions=list(conditions)
        )
        return str(rule["Rules"][0]["RuleArn"])

    def accepts(self, port: int) -> bool:
        import socket

        try:
            socket.create_connection((self.address, port), timeout=2).close()
        except OSError:
            return False
        return True

    # -- requests

    def get(self, path: str = "/", port: int = 80, headers: dict[str, str] | None = None, **options: Any) -> Any:
        """GET over a connection of its own; redirects are not followed."""
        host = {"Host": self.dns_name, "Connection": "close"}
        request = {"method": "GET", "timeout": 20, **options}
        return requests.request(
            url=f"http://{self.address_now}:{port}{path}",
            headers={**host, **(headers or {})},
            allow_redirects=False,
            **request,
        )

    @property
    def address_now(self) -> str:
        """The address, looked up once."""
        if "_address" not in self.__dict__:
            self._address = self.address
        return self._address

    def wait_for_answer(self, expected: Callable[[Any], bool], *arguments: Any, **options: Any) -> Any:
        """The first answer that is as expected; connections that fail meanwhile are no error."""

        def attempt() -> Any:
            try:
                answer = self.get(*arguments, **options)
            except requests.RequestException:
                return None
            return [answer] if expected(answer) else None

        return wait_until(attempt, 30)[0]

    def bodies(self, count: int, *arguments: Any, **options: Any) -> Counter[str]:
        return Counter(self.get(*arguments, **options).text for _ in range(count))

    def delete(self) -> None:
        """Remove the load balancer and its target groups, and wait until its container is gone."""
        self.elbv2.delete_load_balancer(LoadBalancerArn=self.arn)
        for group in self.groups:
            self.elbv2.delete_target_group(TargetGroupArn=group)
        wait_until(lambda: self.container not in docker("ps", "--all", "--format", "{{.Names}}"), 30)


def as_attributes(given: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": name.replace("__", "."), "Value": value} for name, value in given.items()]


def forward(*groups: str) -> dict[str, Any]:
    """An action that forwards to one group, or to each of several with the same weight."""
    if len(groups) == 1:
        return {"Type": "forward", "TargetGroupArn": groups[0]}
    return weighted(dict.fromkeys(groups, 1))


def weighted(weights: dict[str, int], sticky: int | None = None) -> dict[str, Any]:
    config: dict[str, Any] = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weights[arn]} for arn in weights]}
    if sticky is not None:
        config["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": sticky}
    return {"Type": "forward", "ForwardConfig": config}


def answer(body: str, status: int = 200, content_type: str = "text/plain") -> dict[str, Any]:
    config = {"StatusCode": str(status), "MessageBody": body, "ContentType": content_type}
    return {"Type": "fixed-response", "FixedResponseConfig": config}


class Load:
    """Requests at a steady rate from several threads, half of them on kept connections; counts what came back."""

    def __init__(self, send: Callable[[requests.Session], Any], threads: int = 4, pause: float = 0.02) -> None:
        self.outcomes: Counter[Any] = Counter()
        self._send = send
        self._pause = pause
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[number % 2 == 0]) for number in range(threads)]

    def _run(self, kept: bool) -> None:
        session = requests.Session()
        while not self._stop.is_set():
            try:
                outcome = self._send(session)
            except requests.RequestException as error:
                outcome = repr(error)
                session = requests.Session()
            with self._lock:
                self.outcomes[outcome] += 1
            if not kept:
                session.close()
                session = requests.Session()
            time.sleep(self._pause)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
