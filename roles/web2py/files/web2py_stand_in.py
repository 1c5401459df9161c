"""Make an archive of web2py-gluon, an older release of web2py that is on PyPI, as the role unpacks it on hosts.

Argument: the directory for it. Prints the archive's path. An archive that is there already is left as it is. pip takes
the package from where this machine's pip takes all packages, and refuses one with another hash.
"""

import gzip
import hashlib
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

VERSION = "2.26.1"
SHA256 = "45d4dd0b18531dbad162afdca40d9450e6851ec537fa6b005f091e89e1038d95"

# As of web2py's own release, without the applications that come with it.
KEPT = ("gluon/", "handlers/wsgihandler.py", "web2py.py")
LICENSE = f"web2py_gluon-{VERSION}.dist-info/licenses/LICENSE"

# web2py reads its version here, and the package doesn't have it. Applications see it as request.env.web2py_version.
VERSION_FILE = f"Version {VERSION}-stand-in+pypi\n"

# What Python 3.13 and today's pydal no longer have: file, what is in it, what comes instead.
MENDED = (
    # For gluon.tools, with Auth in it. What it imports calls itself a browser with it, of which Python takes no notice.
    ("gluon/_compat.py", b"import *\n", b"import *\n\n\nclass FancyURLopener:\n    pass\n"),
    # As in web2py 3.3.3.
    ("gluon/contrib/appconfig.py", b"configparser.SafeConfigParser", b"configparser.RawConfigParser"),
)


def archive_path(directory: pathlib.Path) -> pathlib.Path:
    """Named after all that it is made of: the package, and this program."""
    made_of = SHA256.encode() + pathlib.Path(__file__).read_bytes()
    return directory / f"web2py-stand-in-{VERSION}-{hashlib.sha256(made_of).hexdigest()[:12]}.tar.gz"


def download(directory: str) -> pathlib.Path:
    """The package from PyPI; CalledProcessError when there is none, or another one than ours."""
    requirements = pathlib.Path(directory, "requirements.txt")
    requirements.write_text(f"web2py-gluon=={VERSION} --hash=sha256:{SHA256}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--timeout=10", "--retries=2"]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", f"--dest={directory}"]
    subprocess.run([*pip, "download", *options, f"--requirement={requirements}"], check=True)
    return next(pathlib.Path(directory).glob("*.whl"))


def contents(wheel: pathlib.Path) -> dict[str, bytes]:
    """What hosts get, by path."""
    with zipfile.ZipFile(wheel) as package:
        found = {name: package.read(name) for name in package.namelist() if name.startswith(KEPT)}
        found["LICENSE.web2py.txt"] = package.read(LICENSE)
    for name, old, new in MENDED:
        if old not in found[name]:
            raise ValueError(f"{name} of {wheel.name} has no {old!r}")
        found[name] = found[name].replace(old, new)
    found["VERSION"] = VERSION_FILE.encode()
    found["applications/__init__.py"] = b""
    return found


def pack(files: dict[str, bytes], archive: pathlib.Path) -> None:
    """Without anything that differs from one run to the next; whole, or not at all."""
    partial = archive.with_name(f"{archive.name}.{os.getpid()}.partial")
    with (
        partial.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as packed,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            packed.addfile(member, io.BytesIO(files[name]))
    partial.replace(archive)


def main() -> int:
    """Download and pack, unless that was done before."""
    archive = archive_path(pathlib.Path(sys.argv[1]))
    if not archive.exists():
        with tempfile.TemporaryDirectory() as directory:
            try:
                pack(contents(download(directory)), archive)
            except subprocess.CalledProcessError:
                return 1  # pip has said why
    print(archive)
    return 0


if __name__ == "__main__":
    sys.exit(main())
