"""The archive of web2py's stand-in: what hosts get of the package from PyPI."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from programs import as_module

PROGRAM = Path(__file__).parents[2] / "roles/web2py/files/web2py_stand_in.py"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return as_module(PROGRAM, monkeypatch)


@pytest.fixture
def wheel(program: ModuleType, tmp_path: Path) -> Path:
    """As web2py-gluon is: what is kept, what is mended, and what is left out."""
    path = tmp_path / "web2py_gluon.whl"
    with zipfile.ZipFile(path, "w") as package:
        for name, old, _new in program.MENDED:
            package.writestr(name, b"before\n" + old + b"\nafter\n")
        package.writestr(program.LICENSE, "LGPL")
        for name in ("web2py.py", "handlers/wsgihandler.py", "handlers/gaehandler.py", "gluon/main.py"):
            package.writestr(name, name)
        package.writestr("applications/admin/controllers/default.py", "an attack surface")
    return path


def test_hosts_get_the_framework_and_none_of_its_applications(program: ModuleType, wheel: Path) -> None:
    files = program.contents(wheel)
    assert {name for name in files if not name.startswith("gluon/")} == {
        "LICENSE.web2py.txt",
        "VERSION",
        "applications/__init__.py",
        "handlers/wsgihandler.py",
        "web2py.py",
    }
    assert files["gluon/main.py"] == b"gluon/main.py"
    assert b"class FancyURLopener" in files["gluon/_compat.py"]
    assert b"RawConfigParser" in files["gluon/contrib/appconfig.py"]
    assert b"SafeConfigParser" not in files["gluon/contrib/appconfig.py"]


def test_another_package_than_the_one_that_is_mended(program: ModuleType, wheel: Path) -> None:
    program.MENDED = (("gluon/main.py", b"not in it", b""),)
    with pytest.raises(ValueError, match="not in it"):
        program.contents(wheel)


def test_the_same_bytes_each_time(program: ModuleType, tmp_path: Path) -> None:
    for name in ("one", "other"):
        program.pack({"VERSION": b"1\n", "gluon/main.py": b""}, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    with tarfile.open(tmp_path / "one") as archive:
        assert archive.getnames() == ["VERSION", "gluon/main.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


def test_an_archive_that_is_there_needs_no_network(program: ModuleType, tmp_path: Path) -> None:
    archive = program.archive_path(tmp_path)
    archive.touch()
    done = subprocess.run([sys.executable, PROGRAM, tmp_path], check=True, capture_output=True, text=True)
    assert done.stdout == f"{archive}\n"


def test_a_package_with_another_hash_is_refused(program: ModuleType, tmp_path: Path) -> None:
    """From an index on the disk, where there is only another package of this name and version."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / f"web2py_gluon-{program.VERSION}-py3-none-any.whl", "w") as package:
        package.writestr(f"web2py_gluon-{program.VERSION}.dist-info/METADATA", "Name: web2py-gluon\n")
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path],
        env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": "/dev/null"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "HASH" in done.stderr.upper()
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
