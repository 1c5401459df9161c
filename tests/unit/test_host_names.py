"""The block of names in /etc/hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.config import Settings
from localcloud.host_names import HostNames, HostNamesError

BEFORE = "127.0.0.1 localhost\n# localcloud-4567 begin\n10.1.0.9 other\n# localcloud-4567 end\n10.0.0.1 mine\n"


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(BEFORE)
    return path


def names(path: Path, port: int = 4566) -> HostNames:
    return HostNames(Settings(port, path.parent), None, path)


def test_block_is_written_changed_and_removed(hosts: Path) -> None:
    block = names(hosts)
    inode = hosts.stat().st_ino
    block.write({"web.elb": "10.80.0.4"})
    assert hosts.read_text() == BEFORE + "# localcloud-4566 begin\n10.80.0.4 web.elb\n# localcloud-4566 end\n"
    assert block.read() == {"web.elb": "10.80.0.4"}
    block.write({"web.elb": "10.80.0.5", "api.elb": "10.80.0.6"})
    assert block.read() == {"web.elb": "10.80.0.5", "api.elb": "10.80.0.6"}
    block.write({})
    assert hosts.read_text() == BEFORE
    assert hosts.stat().st_ino == inode


def test_other_blocks_are_left_alone(hosts: Path) -> None:
    names(hosts, 4567).write({})
    assert hosts.read_text() == "127.0.0.1 localhost\n10.0.0.1 mine\n"
    assert names(hosts).read() == {}


def test_file_without_a_last_newline(hosts: Path) -> None:
    hosts.write_text("127.0.0.1 localhost")
    names(hosts).write({"web.elb": "10.80.0.4"})
    assert hosts.read_text().startswith("127.0.0.1 localhost\n# localcloud-4566 begin\n")


def test_says_what_to_do_where_it_may_not_write(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_arguments: False)
    with pytest.raises(HostNamesError, match=r"Put these lines there yourself:\n# localcloud-4566 begin"):
        names(hosts).write({"web.elb": "10.80.0.4"})
