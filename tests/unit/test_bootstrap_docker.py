"""A Docker engine is found, installed, started and stopped; nothing here touches the machine's own engine."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bootstrap import docker_engine, packages
from bootstrap.docker_engine import Engine


class Machine:
    """A machine with stubs for commands: each call is written down, and may bring the engine up or down."""

    def __init__(self, directory, monkeypatch):
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.calls_file = directory / "calls"
        self.engine = directory / "engine"
        self.pid_file = directory / "docker.pid"
        monkeypatch.chdir(directory)
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(docker_engine, "ROOT_DIRECTORIES", str(self.bin))
        monkeypatch.setattr(docker_engine, "PID_FILE", self.pid_file)
        monkeypatch.setattr(docker_engine, "SYSTEMD", directory / "no-systemd")
        monkeypatch.setattr(docker_engine, "INIT_SCRIPT", directory / "no-init-script")
        monkeypatch.setattr(docker_engine, "state", lambda: Engine.ANSWERS if self.engine.exists() else Engine.SILENT)
        self.monkeypatch = monkeypatch

    def command(self, name, script=""):
        file = self.bin / name
        file.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "{name} $*" >> {self.calls_file}\n{script}\n')
        file.chmod(0o755)

    def has(self, attribute):
        path = self.bin.parent / attribute.lower()
        path.mkdir()
        self.monkeypatch.setattr(docker_engine, attribute, path)

    @property
    def calls(self):
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


def test_a_running_engine_is_left_alone(machine):
    machine.engine.touch()
    machine.command("dockerd")
    assert docker_engine.ensure() is None
    assert machine.calls == []


def test_systemd_starts_it_and_stops_what_was_not_active(machine):
    machine.has("SYSTEMD")
    machine.command("dockerd")
    machine.command(
        "systemctl",
        f"""case "$*" in
        "is-active --quiet containerd.service") exit 0 ;;
        is-active*) exit 3 ;;
        start*) touch {machine.engine} ;;
        stop*) rm {machine.engine} ;;
        esac""",
    )
    stop = docker_engine.ensure()
    assert "systemctl start docker" in machine.calls
    stop()
    assert machine.calls[-1] == "systemctl stop docker.socket docker.service"


def test_a_failing_systemd_unit_names_its_journal(machine):
    machine.has("SYSTEMD")
    machine.command("dockerd")
    machine.command("systemctl", "exit 1")
    with pytest.raises(SystemExit, match="journalctl --unit docker"):
        docker_engine.ensure()


def test_without_systemd_the_init_script_starts_it(machine):
    machine.has("INIT_SCRIPT")
    machine.command("dockerd")
    machine.command("service", f"[ $2 = start ] && touch {machine.engine}")
    stop = docker_engine.ensure()
    stop()
    assert machine.calls == ["service docker start", "service docker stop"]


def test_a_failing_init_script_is_followed_by_dockerd_itself(machine):
    machine.has("INIT_SCRIPT")
    machine.command("service", "exit 1")
    machine.command(
        "dockerd",
        # The trap comes first: stopped before it is set, the program would leave its files behind.
        f"""trap 'rm {machine.pid_file} {machine.engine}; exit' TERM
        echo $$ > {machine.pid_file}
        touch {machine.engine}
        while :; do sleep 0.1; done""",
    )
    machine.command("kill", 'kill "$@"')
    stop = docker_engine.ensure()
    pid = int(machine.pid_file.read_text())
    assert machine.calls == ["service docker start", "dockerd "]
    # A session of its own: a Ctrl-C in our terminal does not reach it.
    assert os.getsid(pid) == pid
    # No pipe or terminal of ours: whoever reads our output is not kept waiting.
    outputs = {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)}
    assert outputs == {"/dev/null", str(Path(docker_engine.LOG).resolve())}
    stop()
    assert not machine.engine.exists()
    assert not machine.pid_file.exists()


def test_docker_is_installed_where_there_is_none(machine):
    machine.command("env", f'case "$*" in *" install "*) printf "#!/bin/sh\\n" > {machine.bin}/dockerd ;; esac')
    machine.command("apt-get")
    machine.has("INIT_SCRIPT")
    machine.command("service", f"touch {machine.engine}")
    docker_engine.ensure()
    assert [call.split("apt-get ")[1].split()[2:] for call in machine.calls[:2]] == [
        ["update"],
        ["install", "--yes", "docker.io"],
    ]


def test_a_failing_installation_shows_why(machine, capsys):
    machine.command("apt-get")
    machine.command("env", "echo E: Unable to locate package docker.io; exit 100")
    with pytest.raises(SystemExit, match="apt-get could not install docker.io"):
        docker_engine.ensure()
    assert "Unable to locate package" in capsys.readouterr().err


def test_without_apt_it_says_where_docker_comes_from(machine):
    with pytest.raises(SystemExit, match="docs.docker.com"):
        docker_engine.ensure()


def test_without_sudo_it_says_what_root_has_to_type(machine, monkeypatch):
    machine.command("apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="su --command 'apt-get install --yes docker.io'"):
        docker_engine.ensure()


def test_someone_outside_the_group_is_told_what_to_type(machine, monkeypatch):
    monkeypatch.setattr(docker_engine, "state", lambda: Engine.FORBIDDEN)
    with pytest.raises(SystemExit, match="usermod --append --groups docker"):
        docker_engine.ensure()


def test_a_silent_docker_host_is_named_and_nothing_is_installed(machine, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://build-server:2375")
    with pytest.raises(SystemExit, match="DOCKER_HOST=tcp://build-server:2375"):
        docker_engine.ensure()
    assert machine.calls == []


@pytest.mark.parametrize(("terminal", "command"), [(True, ["sudo"]), (False, ["sudo", "--non-interactive"])])
def test_sudo_asks_only_at_a_terminal(monkeypatch, terminal, command):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(packages.sys, "stdin", SimpleNamespace(isatty=lambda: terminal))
    assert packages.as_root("true") == [*command, "true"]


def test_no_engine_at_an_address_is_silence(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert docker_engine.state() is Engine.SILENT


# It becomes nobody after its imports: nobody may not be allowed to read this directory.
PROBE = """
import os
from bootstrap.docker_engine import state
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(state().name)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_that_may_not_be_opened_is_forbidden():
    with socket.socket(socket.AF_UNIX) as listener:
        address = Path("/run") / f"forbidden-{os.getpid()}.sock"
        listener.bind(str(address))
        address.chmod(0o600)
        try:
            answer = subprocess.run(
                [sys.executable, "-c", PROBE],
                env=os.environ | {"DOCKER_HOST": f"unix://{address}", "PYTHONPATH": ":".join(sys.path)},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            address.unlink()
    assert answer.stdout.strip() == "FORBIDDEN", answer.stderr
