#!/usr/bin/python
"""Ansible module: pack a web2py application reproducibly."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: web2py_app_archive
short_description: Pack a web2py application reproducibly
description:
  - Writes a C(.tar.gz) whose bytes depend on the names, contents and executable bits of the application's files only.
  - Leaves out what an application writes while it runs, version control, caches and web2py's C(appadmin).
  - What the application writes is replaced by symbolic links to I(state), outside of the release.
options:
  src: {description: Directory of the application., type: path, required: true}
  dest_dir: {description: Directory for the archive., type: path, required: true}
  name: {description: Name of the application., type: str, required: true}
  state: {description: Directory on the host for what the application writes., type: path, required: true}
  configuration:
    description: What else a release depends on. With another one the same files are another release.
    type: str
    default: ""
"""
RETURN = r"""
path: {description: The archive., type: str, returned: always}
sha256: {description: Its sha256., type: str, returned: always}
release: {description: Its only top-level directory., type: str, returned: always}
requirements: {description: Whether the application has a requirements.txt., type: bool, returned: always}
auth_key: {description: Whether the application has a private/auth.key., type: bool, returned: always}
schema_sha256: {description: Sha256 of models and what they import., type: str, returned: always}
commit:
  description: Newest commit of the directory, and whether it has changes since; empty where git knows none.
  type: str
  returned: always
"""

WRITABLE = ("cache", "databases", "errors", "sessions", "uploads")
IGNORED_DIRECTORIES = {
    ".git",
    ".hg",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
    ".mypy_cache",
    ".ruff_cache",
}
IGNORED_FILES = {"controllers/appadmin.py", "views/appadmin.html", "models/appadmin.py", "progress.log", ".DS_Store"}
IGNORED_SUFFIXES = (".pyc", ".pyo", ".swp", "~")
IGNORED_TOP = {*WRITABLE, "compiled"}
SCHEMA = ("models/", "modules/", "private/", "requirements.txt")


def application_files(root: Path) -> dict[str, Path]:
    """Files to deploy, by their POSIX path inside the application."""
    found = {}
    for directory, directories, files in os.walk(root):
        base = Path(directory)
        top = base == root
        directories[:] = [d for d in directories if d not in IGNORED_DIRECTORIES and not (top and d in IGNORED_TOP)]
        # os.walk lists links to directories among the directories and does not follow them.
        links = [d for d in directories if (base / d).is_symlink()]
        for name in files + links:
            path = (base / name).relative_to(root).as_posix()
            if path not in IGNORED_FILES and name not in IGNORED_FILES and not name.endswith(IGNORED_SUFFIXES):
                found[path] = base / name
    return found


def entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """A member with nothing in it that differs from one machine to the next."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.mtime = 0
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def pack(files: dict[str, Path], name: str, state: str, configuration: str) -> tuple[bytes, str]:
    """The archive, and the name of its only top directory, which says what is in it."""
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    directories = {"controllers", "cron", "languages", "models", "modules", "private", "static", "views"}
    for path in files:
        directories.update(parent.as_posix() for parent in Path(path).parents if parent.as_posix() != ".")
    for path in sorted(directories):
        members.append((entry(path, tarfile.DIRTYPE, 0o755), b""))
    for path in WRITABLE:
        link = entry(path, tarfile.SYMTYPE, 0o777)
        link.linkname = f"{state}/{name}/{path}"
        members.append((link, b""))
    for path, source in sorted(files.items()):
        if source.is_symlink():
            target = os.readlink(source)
            if os.path.isabs(target) or ".." in Path(os.path.normpath(Path(path).parent / target)).parts:
                raise ValueError(f"{path} is a link to {target}, which is outside of the application")
            link = entry(path, tarfile.SYMTYPE, 0o777)
            link.linkname = target
            members.append((link, b""))
            continue
        executable = source.stat().st_mode & stat.S_IXUSR
        members.append((entry(path, tarfile.REGTYPE, 0o755 if executable else 0o644), source.read_bytes()))

    digest = hashlib.sha256(configuration.encode())
    for info, data in members:
        digest.update(f"{info.name}\0{info.type!r}\0{info.mode:o}\0{info.linkname}\0{len(data)}\0".encode())
        digest.update(data)
    release = f"{name}-{digest.hexdigest()[:12]}"

    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as zipped,
        tarfile.open(mode="w", fileobj=zipped, format=tarfile.PAX_FORMAT) as archive,
    ):
        archive.addfile(entry(release, tarfile.DIRTYPE, 0o755))
        for info, data in members:
            info.name = f"{release}/{info.name}"
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        # Unpacked last: its presence says that the release is whole.
        archive.addfile(entry(f"{release}/.complete", tarfile.REGTYPE, 0o644))
    return buffer.getvalue(), release


def schema_digest(files: dict[str, Path]) -> str:
    """The sha256 of the files that a migration runs: names and contents."""
    digest = hashlib.sha256()
    for path, source in sorted(files.items()):
        if path.startswith(SCHEMA):
            content = os.readlink(source).encode() if source.is_symlink() else source.read_bytes()
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def commit(module: AnsibleModule, root: Path) -> str:
    """See RETURN. A directory that git doesn't know, or a machine without git, has no commit."""
    git = module.get_bin_path("git")
    if git is None:
        return ""
    status, commit, _ = module.run_command([git, "-C", str(root), "log", "-1", "--format=%h", "--", "."])
    if status != 0 or not commit.strip():
        return ""
    _, changes, _ = module.run_command([git, "-C", str(root), "status", "--porcelain", "--", "."])
    return commit.strip() + (" with changes" if changes.strip() else "")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest_dir": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "path", "required": True},
            "configuration": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    root = Path(module.params["src"])
    if not root.is_dir():
        module.fail_json(msg=f"There is no application in {root}: no such directory")
    files = application_files(root)
    if not any(path.startswith("controllers/") and path.endswith(".py") for path in files):
        module.fail_json(msg=f"There is no application in {root}: it has no controllers/*.py")
    try:
        content, release = pack(files, module.params["name"], module.params["state"], module.params["configuration"])
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"The application in {root} can't be packed: {error}")

    path = Path(module.params["dest_dir"]) / f"{release}.tar.gz"
    changed = not path.is_file() or path.read_bytes() != content
    if changed and not module.check_mode:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
            temporary.write(content)
        os.replace(temporary.name, path)
    module.exit_json(
        # A cache on the control machine is not a change of any host.
        changed=False,
        path=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        release=release,
        requirements="requirements.txt" in files,
        auth_key="private/auth.key" in files,
        schema_sha256=schema_digest(files),
        commit=commit(module, root),
    )


if __name__ == "__main__":
    main()
