"""The images that machines start from: host (EC2), postgresql (RDS), haproxy (load balancer).

Each is built from its Dockerfile in `images/`. Where no container registry can be reached, the `debian:13` that they
stand on is made with mmdebstrap from Debian's own mirror.
"""

from __future__ import annotations

import functools
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors

from bootstrap.report import AdvisedError

IMAGES = Path(__file__).parent / "images"
DEBIAN = "debian:13"
DEBIAN_SUITE = "trixie"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
# Where Debian and Ubuntu keep the certificates that an administrator added.
EXTRA_CA_CERTIFICATES = Path("/usr/local/share/ca-certificates")


class ImageBuildError(AdvisedError):
    """A base image could not be made."""


@dataclass(frozen=True)
class BaseImage:
    """One of the images, known by a digest of all that its build reads."""

    name: str

    @functools.cached_property
    def context(self) -> bytes:
        """The build context as a tar archive, the same bytes for the same files."""
        directory = IMAGES / self.name
        files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
        for certificate in sorted(EXTRA_CA_CERTIFICATES.glob("*.crt")):
            files[f"extra-ca-certificates/{certificate.name}"] = certificate.read_bytes()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            folder = tarfile.TarInfo("extra-ca-certificates")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
            for name, content in sorted(files.items()):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()

    @functools.cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.context).hexdigest()

    @property
    def tag(self) -> str:
        return f"localcloud/{self.name}:{self.digest[:12]}"


HOST = BaseImage("host")
POSTGRESQL = BaseImage("postgresql")
HAPROXY = BaseImage("haproxy")
ALL = (HOST, POSTGRESQL, HAPROXY)


def build_missing() -> list[str]:
    """Build the images that are not there. Returns the tags of those that were built; prints each step.

    Raises ImageBuildError with what failed, where to look and what to type.
    """
    api = docker.from_env(timeout=1800).api
    built = []
    for image in ALL:
        if _exists(api, image.tag):
            continue
        _provide_debian(api)
        print(f"building {image.tag} (half a minute)", flush=True)
        _build(api, image)
        built.append(image.tag)
    return built


def _exists(api: Any, tag: str) -> bool:
    try:
        api.inspect_image(tag)
    except docker.errors.ImageNotFound:
        return False
    return True


def _build(api: Any, image: BaseImage) -> None:
    output = []
    try:
        for step in api.build(
            fileobj=io.BytesIO(image.context), custom_context=True, tag=image.tag, rm=True, forcerm=True, decode=True
        ):
            output.append(step.get("stream", "") or step.get("error", ""))
            if "error" in step:
                raise docker.errors.DockerException(step["error"])
    except docker.errors.DockerException as error:
        tail = "".join(output)[-2000:]
        raise ImageBuildError(
            f"the image {image.tag} could not be built: {error}\n{tail}",
            look=f"{IMAGES / image.name}/Dockerfile, and whether containers reach the network: "
            f"docker run --rm {DEBIAN} apt-get update",
            type_this="python -m localcloud images",
        ) from error


def _provide_debian(api: Any) -> None:
    """Make sure that `debian:13` is there: pulled from a registry, or made from Debian's mirror."""
    if _exists(api, DEBIAN):
        return
    repository, tag = DEBIAN.split(":")
    try:
        print(f"pulling {DEBIAN}", flush=True)
        api.pull(repository, tag=tag)
    except docker.errors.DockerException as pull_error:
        print(f"no registry gives {DEBIAN}; making it with mmdebstrap (half a minute)", flush=True)
        _make_debian(api, pull_error)


def _make_debian(api: Any, pull_error: Exception) -> None:
    if not shutil.which("mmdebstrap"):
        raise ImageBuildError(
            f"{DEBIAN} can't be pulled, and mmdebstrap, which would make it, is not installed: {pull_error}",
            look=f"docker pull {DEBIAN}",
            type_this="sudo apt-get install mmdebstrap, then: python -m localcloud images",
        )
    with tempfile.TemporaryDirectory() as directory:
        archive = str(Path(directory) / "debian.tar")
        made = subprocess.run(
            ["mmdebstrap", "--variant=apt", "--include=ca-certificates", DEBIAN_SUITE, archive, DEBIAN_MIRROR],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ImageBuildError(
                f"mmdebstrap could not make {DEBIAN}:\n{made.stderr[-2000:]}",
                look=f"whether {DEBIAN_MIRROR} can be reached",
                type_this="python -m localcloud images",
            )
        api.import_image_from_file(archive, *DEBIAN.split(":"))
