"""Commands that need root, and the distribution's packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bootstrap.report import fail, say

LOG = Path(".cache/apt.log")


def as_root(*command: str) -> list[str]:
    """Return the command line that runs `command` as root; sudo may ask for a password only at a terminal."""
    if os.geteuid() == 0:
        return list(command)
    return ["sudo", *([] if sys.stdin.isatty() else ["--non-interactive"]), *command]


def install(*packages: str, purpose: str) -> None:
    """Install Debian or Ubuntu packages, or say what to type where that can't be done.

    Recommended packages come along on purpose: docker.io cannot start a container on a machine with AppArmor
    without its recommended `apparmor`, and on one without systemd it may need `cgroupfs-mount`.
    """
    wanted = " ".join(packages)
    if shutil.which("apt-get") is None:
        fail(
            f"{wanted} is missing ({purpose}), and there is no apt-get to install it with",
            look="your distribution's documentation; for Docker: https://docs.docker.com/engine/install/",
            type_this="make tools   (again, once it is installed)",
        )
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        fail(
            f"{wanted} is missing ({purpose}), and there is no sudo to install it with",
            look="apt-cache policy " + wanted,
            type_this=f"su --command 'apt-get install --yes {wanted}'",
        )
    say(f"Installing {wanted} with apt-get: {purpose} (about a minute)")
    LOG.parent.mkdir(exist_ok=True)
    environment = ("env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l")
    # A machine that has just booted may be upgrading itself: wait for dpkg's lock (seconds).
    apt_get = (*environment, "apt-get", "--option=DPkg::Lock::Timeout=300", "--quiet")
    with LOG.open("w") as log:
        # An update that fails for one of several sources is no reason not to try.
        subprocess.run(as_root(*apt_get, "update"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        done = subprocess.run(
            as_root(*apt_get, "install", "--yes", *packages),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    if done.returncode != 0:
        say("".join(LOG.read_text(errors="replace").splitlines(keepends=True)[-15:]))
        fail(
            f"apt-get could not install {wanted} ({purpose})",
            look=f"the lines above, all of them in {LOG}",
            type_this=f"sudo apt-get update && sudo apt-get install {wanted}",
        )
