"""Terraform: the one on the PATH where it will do, else a pinned release with its checksum verified."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from bootstrap import provider_mirror
from bootstrap.report import fail, say

VERSION = "1.11.4"
# 1.11 is the first with write-only arguments and the S3 backend's own lock file.
MINIMUM = (1, 11)
# Of the zip files, as in HashiCorp's terraform_1.11.4_SHA256SUMS.
SHA256 = {
    "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
    "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
}
RELEASES = "https://releases.hashicorp.com/terraform"
DIRECTORY = Path(".venv/bin")
# As in roles/terraform_stage, which says why.
SETTINGS = {
    "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
    "TF_IN_AUTOMATION": "1",
    "CHECKPOINT_DISABLE": "1",
    "GOGC": "off",
    "GOMEMLIMIT": "500MiB",
}


def environment() -> dict[str, str]:
    """Settings that Terraform is run with."""
    configuration = Path(__file__).parents[1] / provider_mirror.CONFIGURATION
    return SETTINGS | ({"TF_CLI_CONFIG_FILE": str(configuration)} if configuration.exists() else {})


def installed_version(executable: str = "terraform") -> tuple[int, ...] | None:
    """Return the version of the Terraform on the PATH, or None where there is none that runs."""
    # Without CHECKPOINT_DISABLE, asking for the version asks HashiCorp over the network.
    environment = os.environ | {"CHECKPOINT_DISABLE": "1"}
    try:
        answer = subprocess.run(
            [executable, "version", "-json"], capture_output=True, text=True, check=True, env=environment
        )
        number = str(json.loads(answer.stdout)["terraform_version"]).partition("-")[0]
        return tuple(int(part) for part in number.split("."))
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError):
        return None


def suitable(version: tuple[int, ...] | None) -> bool:
    """Tell whether the stages can be applied with this version."""
    return version is not None and MINIMUM <= version[:2] < (2, 0)


def platform_name() -> str:
    """Return this machine's platform as HashiCorp spells it."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}_{machine}"


def download(destination: Path) -> None:
    """Download the pinned release, verify its checksum and put `terraform` into the directory `destination`.

    TERRAFORM_DOWNLOAD_URL names a mirror laid out as releases.hashicorp.com/terraform is (http, https or file).
    The checksum is the same wherever the file comes from.
    """
    name = platform_name()
    if name not in SHA256:
        fail(
            f"no Terraform release is pinned for {name}",
            look="bootstrap/terraform.py, SHA256",
            type_this=f"terraform version   (once you have put Terraform {VERSION} on the PATH yourself)",
        )
    mirror = os.environ.get("TERRAFORM_DOWNLOAD_URL") or RELEASES
    url = f"{mirror.rstrip('/')}/{VERSION}/terraform_{VERSION}_{name}.zip"
    say(f"Downloading Terraform {VERSION} from {url}")
    with tempfile.TemporaryDirectory(dir=destination) as scratch:
        archive = Path(scratch) / "terraform.zip"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, archive.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except (urllib.error.URLError, OSError, ValueError) as error:
            fail(
                f"Terraform could not be downloaded: {error}",
                look=url,
                type_this="TERRAFORM_DOWNLOAD_URL=https://your.mirror/terraform make tools"
                f"   (or put Terraform {VERSION} on the PATH; README.md, Behind a firewall)",
            )
        with archive.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        if checksum != SHA256[name]:
            fail(
                f"the downloaded Terraform is not the pinned one: SHA-256 {checksum}, expected {SHA256[name]}",
                look=f"{url} (a proxy's error page? a mirror with other files?)",
                type_this="TERRAFORM_DOWNLOAD_URL=https://another.mirror/terraform make tools",
            )
        with zipfile.ZipFile(archive) as contents:
            binary = Path(contents.extract("terraform", scratch))
        binary.chmod(0o755)
        binary.replace(destination / "terraform")


def main() -> None:
    """Make sure that a suitable Terraform is on the PATH of the virtual environment."""
    if not suitable(installed_version()):
        download(DIRECTORY)


if __name__ == "__main__":
    main()
