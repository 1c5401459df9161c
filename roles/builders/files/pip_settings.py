"""Print, as a pip.conf, where this machine's pip gets packages from: index, further indexes, proxy, trusted hosts.

What can only be meant for this machine is left out: directories, and servers on its loopback addresses. Nothing is
printed where pip has no such settings.
"""

from __future__ import annotations

import ast
import ipaddress
import os
import subprocess
import sys
from urllib.parse import urlsplit

ADDRESSES = ("index-url", "extra-index-url", "proxy")
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


def main() -> None:
    """Print them."""
    found = settings()
    if found:
        print("\n".join(["[global]", *(f"{key} = {' '.join(value)}" for key, value in found.items())]))


if __name__ == "__main__":
    main()
