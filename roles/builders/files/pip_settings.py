"""Print where this machine's pip gets packages from, for other machines: {"pip.conf": text, "netrc": text}, as JSON.

That is its index, further indexes, proxy and trusted hosts. What can only be meant for this machine is left out:
directories, and servers on its loopback addresses. Where pip has no such settings, both texts are empty.

Who may ask an index, `https://user:password@host/` or this machine's own ~/.netrc, is in netrc: an address stands on
the command line of each pip that pip starts in order to build a package, where all of a machine's users see it.
"""

from __future__ import annotations

import ast
import ipaddress
import json
import netrc
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

INDEXES = ("index-url", "extra-index-url")
ADDRESSES = (*INDEXES, "proxy")
KEYS = (*ADDRESSES, "trusted-host")


def configured() -> dict[str, str]:
    """pip's own settings, the strongest of each: environment, `install`, `global`."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, text=True, stdout=subprocess.PIPE
    ).stdout
    rows = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    found = {}
    for section in ("global.", "install.", ":env:."):
        found |= {key: str(ast.literal_eval(rows[section + key])) for key in KEYS if section + key in rows}
    return found


def of_others(address: str) -> bool:
    """Whether an address is one that another machine can ask, too."""
    try:
        url = urlsplit(address)
        if url.scheme not in ("http", "https") or not url.hostname:
            return False
        return not ipaddress.ip_address(url.hostname).is_loopback
    except ValueError:  # a name
        return url.hostname != "localhost"


def settings() -> dict[str, list[str]]:
    """What other machines are to use."""
    values = configured()
    values.setdefault("proxy", os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY") or "")
    words = {key: value.split() for key, value in values.items()}
    usable = {key: [word for word in value if key not in ADDRESSES or of_others(word)] for key, value in words.items()}
    return {key: value for key, value in usable.items() if value}


def known_here(host: str) -> tuple[str, str] | None:
    """User and password that this machine's own .netrc has for a host."""
    try:
        found = netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc").authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2] or "") if found else None


class Credentials:
    """User and password by host, as .netrc has them."""

    def __init__(self) -> None:
        self.of: dict[str, tuple[str, str]] = {}

    def taken_out(self, address: str) -> str:
        """The address without them. Of two users of one host the second stays in its address."""
        url = urlsplit(address)
        host, _, place = url.hostname or "", *url.netloc.rpartition("@")[1:]
        own = (unquote(url.username or ""), unquote(url.password or "")) if "@" in url.netloc else known_here(host)
        if own is None:
            return address
        return url._replace(netloc=place).geturl() if self.of.setdefault(host, own) == own else address

    def __str__(self) -> str:
        return "".join(
            f"machine {host} login {quoted(user)} password {quoted(word)}\n" for host, (user, word) in self.of.items()
        )


def quoted(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


def main() -> None:
    """Print them."""
    found, credentials = settings(), Credentials()
    found |= {key: list(map(credentials.taken_out, found[key])) for key in INDEXES if key in found}
    lines = ["[global]", *(f"{key} = {' '.join(value)}" for key, value in found.items())] if found else []
    print(json.dumps({"pip.conf": "".join(f"{line}\n" for line in lines), "netrc": str(credentials)}))


if __name__ == "__main__":
    main()
