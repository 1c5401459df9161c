"""A host of the fleet that a test breaks, and visitors who should not notice."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

from benchmarks.lab import PASSWORD, Lab, wait_until

HOST = Path(__file__).parents[2] / "benchmarks/host.yml"
PROBE: dict[str, object] = {
    "web2py_app_source": str(Path(__file__).parent / "probe_app"),
    "web2py_app_smoke_paths": ["/health", "/"],
    "web2py_app_sessions": "files",
    "web2py_app_tickets": "files",
    "web2py_app_uploads": "local",
    # Nobody here is the load balancer.
    "nginx_trusted_proxies": ["192.0.2.0/24"],
    "nginx_access_log": True,
    "uwsgi_harakiri": 6,
    "uwsgi_memory_percent": 10,
    # Short, for the test of a full one.
    "uwsgi_listen": 256,
}
MIGRATED: dict[str, object] = {
    "lab_roles": ["web2py", "uwsgi", "nginx", "web2py_app", "migration"],
    "migration_master_user": "postgres",
    "migration_master_password": PASSWORD,
}


@dataclass
class Web:
    """The host, and what it was last set up as."""

    lab: Lab
    variables: dict[str, object] | None = None

    def become(self, **variables: object) -> Lab:
        """Set the host up with these variables of the roles, unless it is."""
        if self.variables != variables:
            self.variables = None
            self.lab.play(HOST, **variables)
            self.variables = variables
        return self.lab


class Load:
    """Clients that ask for a path, one request after the other, until the block is left.

    `answers`: status, or the error's name, -> how many; `bodies` of the answers with status 200.
    """

    def __init__(self, url: str, clients: int = 4, timeout: float = 30, keep_alive: bool = True) -> None:
        self.url, self.clients, self.timeout = url, clients, timeout
        self.headers = {} if keep_alive else {"Connection": "close"}
        self.answers: Counter[int | str] = Counter()
        self.bodies: list[str] = []
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(clients)

    def __enter__(self) -> Load:
        self._runs = [self._pool.submit(self._ask) for _ in range(self.clients)]
        wait_until(lambda: self.answers, f"{self.url} answers")
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._pool.shutdown()
        for run in self._runs:
            run.result()

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._over.is_set():
                try:
                    answer = session.get(self.url, headers=self.headers, timeout=self.timeout)
                except requests.RequestException as error:
                    self.answers[type(error).__name__] += 1
                    continue
                self.answers[answer.status_code] += 1
                if answer.status_code == 200:
                    self.bodies.append(answer.text)


def answers(host: Lab, path: str) -> bool:
    """Whether the path is answered with 200."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(host.url + path, timeout=30).status_code == 200
    return False


class Visitor:
    """Somebody whose requests go to one host after the other; for a browser they are one, with the same `cookies`."""

    def __init__(self, hosts: list[Lab]) -> None:
        self._hosts = itertools.cycle(hosts)
        self.cookies: dict[str, str] = {}

    def ask(self, path: str, files: dict[str, tuple[str, bytes]] | None = None, **form: str) -> requests.Response:
        host = next(self._hosts)
        method = "POST" if form or files else "GET"
        with requests.Session() as session:
            for name, value in self.cookies.items():
                session.cookies.set(name, value, domain=host.address)
            answer = session.request(method, host.url + path, data=form, files=files, timeout=30)
            self.cookies = session.cookies.get_dict()
        return answer

    def keep(self, value: str) -> str:
        return self.ask(f"/kept/keep/{value}").text

    @property
    def kept(self) -> str:
        return self.ask("/kept/index").text
