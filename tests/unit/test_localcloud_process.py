"""The process of a local cloud is known by its number and its start: another one that has its number is not touched."""

import http.server
import os
import subprocess
import threading

import pytest

from localcloud.cli import CommandError, down, process_times, running_pid, status, stop_process, up
from localcloud.config import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(port=1, home=tmp_path)  # where nobody's cloud answers


def test_own_process_is_known(settings):
    settings.pid_file.write_text(f"{os.getpid()} {process_times(os.getpid())[1]}")
    assert running_pid(settings) == os.getpid()


@pytest.mark.parametrize("text", ["", "no number", "{pid}", "{pid} 1", "4194304 1", "2 0"])
def test_other_process_is_left_alone(settings, text):
    """4194304 is above what Linux gives out; 2 is a thread of the kernel, or nothing."""
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            settings.pid_file.write_text(text.format(pid=other.pid))
            assert running_pid(settings) is None
            stop_process(settings)
            assert other.poll() is None
        finally:
            other.kill()


def test_nothing_was_started(settings):
    assert running_pid(settings) is None


def test_down_keeps_the_state_of_machines_that_it_cannot_remove(settings, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{settings.home}/no-engine")
    with pytest.raises(CommandError, match="make docker"):
        down(settings)
    assert settings.home.exists()


def test_down_where_nothing_ever_was_needs_no_docker(settings, monkeypatch, capsys):
    settings.home.rmdir()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{settings.home}/no-engine")
    down(settings)
    assert capsys.readouterr().out == "nothing to remove\n"


@pytest.fixture
def foreign(settings, tmp_path):
    """The local cloud of another directory runs at a port; what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ready\n/somebody/elses\n")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Settings(port=server.server_port, home=tmp_path)
        server.shutdown()
    assert set(asked) == {"/localcloud/ready"}


@pytest.mark.parametrize("command", [up, down, lambda settings: status(settings, "us-east-1")])
def test_cloud_of_another_directory_is_neither_used_nor_removed(foreign, command, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{foreign.home}/no-engine")  # that it is not asked
    with pytest.raises(CommandError, match="runs the local cloud of /somebody/elses") as refused:
        command(foreign)
    assert "LOCALCLOUD_HOME=/somebody/elses python -m localcloud down" in str(refused.value)
    assert foreign.home.exists()
