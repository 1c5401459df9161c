"""Applications that come with web2py's own release."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def unpack(name: str, directory: Path) -> Path:
    """Where the application of the release that hosts get is, below this directory."""
    pins = yaml.safe_load((ROOT / "roles/web2py/defaults/main.yml").read_text())
    # That a deployment left, or a new one.
    clone, commit = ROOT / ".cache/web2py.git", pins["web2py_commit"]
    if not clone.exists():
        clone = directory / "web2py.git"
        tag = f"--branch=v{pins['web2py_version']}"
        subprocess.run(
            ["git", "clone", "--quiet", "--bare", "--depth=1", tag, pins["web2py_repository"], clone], check=True
        )
    archive = ["git", "-C", str(clone), "archive", commit, f"applications/{name}"]
    with tarfile.open(fileobj=BytesIO(subprocess.run(archive, check=True, capture_output=True).stdout)) as contents:
        contents.extractall(directory, filter="data")
    return directory / "applications" / name
