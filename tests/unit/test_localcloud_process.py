"""The process of a local cloud is known by its number and its start: another one that has its number is not touched."""

import os
import subprocess

import pytest

from localcloud.cli import CommandError, down, process_times, running_pid, stop_process
from localcloud.config import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(port=4566, home=tmp_path)


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
