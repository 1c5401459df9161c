"""What is asked: a request as a user's browser sends it, and visits, which are requests of one user in order."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

# Not HEAD: its answer tells a length, and nothing follows.
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# May be sent again where a connection ended before anything was answered (RFC 9110, 9.2.2).
IDEMPOTENT = ("GET", "PUT", "DELETE", "OPTIONS")
PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Request:
    """One request. In a visit, `{name}` in its path, headers and body stands for what a request before it has kept.

    `think`: seconds before it, after the answer before it. `expect`: the statuses that are right; () is any 2xx.
    `keep`: name -> regular expression, whose first group is looked for in the answer's body.
    """

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    body: str = ""
    think: float = 0.0
    expect: tuple[int, ...] = ()
    keep: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """By which it is judged and reported."""
        return self.path if self.method == "GET" else f"{self.method} {self.path}"

    def is_right(self, status: int) -> bool:
        return status in self.expect if self.expect else 200 <= status < 300

    def encode(self, host: str, prefix: str, values: Mapping[str, str], cookies: Mapping[str, str]) -> bytes:
        """The request's bytes. `prefix` is the path of the address that is loaded."""
        if self.form is None:
            body = fill(self.body, values)
        else:
            body = urlencode({name: fill(value, values) for name, value in self.form.items()})
        headers = {"Host": host, "User-Agent": "loadtest", "Accept": "*/*"}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if self.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        content = body.encode()
        if content or self.method not in ("GET", "DELETE", "OPTIONS"):
            headers["Content-Length"] = str(len(content))
        named = {name.lower(): name for name in headers}
        for name, value in self.headers.items():
            headers.pop(named.get(name.lower(), ""), None)
            headers[name] = fill(value, values)
        path = prefix + fill(self.path, {name: quote(value, safe="") for name, value in values.items()})
        lines = [f"{self.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + content

    def kept(self, body: str) -> dict[str, str]:
        """What it keeps of an answer. Raises LookupError with the name of what is not there."""
        found = {}
        for name, pattern in self.keep.items():
            match = re.search(pattern, body)
            if match is None:
                raise LookupError(name)
            found[name] = match[1]
        return found


class Visit:
    """One user: what he was given so far. `{visit}` is his number."""

    __slots__ = ("cookies", "values")

    def __init__(self, number: int) -> None:
        self.values = {"visit": str(number)}
        self.cookies: dict[str, str] = {}

    def take(self, cookie: str) -> None:
        """A Set-Cookie header."""
        pair, *attributes = cookie.split(";")
        name, _, value = pair.strip().partition("=")
        if any(attribute.strip().lower() in ("max-age=0", "max-age=-1") for attribute in attributes):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in place of their names; other braces stay."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def to_json(requests: tuple[Request, ...]) -> str:
    """For `loadtest.open_loop`, which is another process."""
    return json.dumps([vars(request) for request in requests])


def from_json(text: str) -> tuple[Request, ...]:
    """What `to_json` wrote."""
    found: list[dict[str, Any]] = json.loads(text)
    return tuple(Request(**{**values, "expect": tuple(values["expect"])}) for values in found)
