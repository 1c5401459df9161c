"""What is wrong is said before anything is made: what failed, where to look, what to type."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from project_copy import Project
from stack import succeeded
from waiting import PATIENCE

PORT, CIDR = 14766, "10.98.0.0/16"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project in which nothing was ever deployed."""
    return Project.copy_to(tmp_path_factory.mktemp("bad-input") / "project", PORT, CIDR)


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def busy_cidr() -> Iterator[str]:
    """A CIDR that another Docker network uses."""
    name = "localcloud-tests-busy-cidr"
    subprocess.run(["docker", "network", "rm", name], check=False, capture_output=True)  # of a run that was killed
    subprocess.run(["docker", "network", "create", "--subnet", "10.199.0.0/16", name], check=True, capture_output=True)
    yield "10.199.0.0/16"
    subprocess.run(["docker", "network", "rm", name], check=True, capture_output=True)


def refused(project: Project, *arguments: str, inventory: str = "inventory/local", **environment: str) -> str:
    """Run site.yml with what is wrong, and return the one error that it must end with. Nothing may have been made."""
    command = [project.root / ".venv/bin/ansible-playbook", "-i", inventory, "site.yml"]
    defaults = ["-e", f"localcloud_port={project.port}", "-e", f"vpc_cidr={project.cidr}"]
    done = subprocess.run(
        [*command, *defaults, *arguments],
        cwd=project.root, env={**project.environment, **environment}, text=True, check=False, capture_output=True,
        stdin=subprocess.DEVNULL, timeout=120 * PATIENCE,
    )  # fmt: skip
    output = done.stdout + done.stderr
    if done.returncode == 0 or (project.root / ".localcloud").exists():
        project.localcloud("down")  # so that what was made wrongly is not there for the others
    assert done.returncode not in (0, None), output
    error = re.search(r"ERROR: .*?\n *Look at: .*?\n *Type: .*?\n\n", output, re.DOTALL)
    assert error, output
    assert not (project.root / ".localcloud").exists(), "something was made"
    assert not (project.root / ".deploy").exists(), "something was made"
    return error.group()


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("asg_min_size=5 asg_max_size=3", ["asg_min_size", "asg_max_size"]),
        ("asg_max_size=many", ["asg_max_size"]),
        ("vpc_cidr=10.98.0.0/28", ["vpc_cidr", "10.98.0.0/28"]),
        ("vpc_cidr=10.98.0.7/16", ["vpc_cidr", "10.98.0.7/16"]),
        ("vpc_cidr=nonsense", ["vpc_cidr", "nonsense"]),
        ("health_check_timeout=9 health_check_interval=5", ["health_check_timeout", "health_check_interval"]),
        ("slow_start=7", ["slow_start"]),
        ("project_name='Not a name!'", ["project_name"]),
        ("scaling_cooldown=5000", ["scaling_cooldown", "3600"]),
        ("db_app_username=admin db_engine_version=9", ["db_app_username", "admin"]),
        ("nginx_port=8080 localcloud_port=abc", ["nginx_port", "80"]),
        ("uwsgi_harakiri=60 nginx_client_max_body_size=big", ["uwsgi_harakiri", "35", "nginx_client_max_body_size"]),
        ("environment_name=Aws", ["the environment is unknown"]),
        ("refresh_bake_time=soon", ["refresh_bake_time"]),
        ("web2py_app_name=admin", ["web2py_app_name", "admin"]),
        ("web2py_app_source=file:///nonexistent/app.git", ["file:///nonexistent/app.git", "web2py_app_source"]),
        ("web2py_app_source=/usr/share", ["/usr/share", "controllers"]),
        ("web2py_app_sessions=memory", ["web2py_app_sessions", "database", "cookie", "files"]),
        ("web2py_app_uploads=disk", ["web2py_app_uploads", "database", "local"]),
        ("web2py_app_uploads=s3", ["web2py_app_uploads", "private_subnet_egress: s3"]),
        ("web2py_app_session_days=0 web2py_app_ticket_days=0", ["web2py_app_session_days", "1-3650"]),
        ("web2py_app_host_names=shop.example.com", ["web2py_app_host_names", "web2py_app_config: {host: {names"]),
        ("instance_type=t4g.micro db_engine_version=16", ["ARM", "PostgreSQL 17 only"]),
    ],
)
def test_wrong_setting(untouched: Project, setting: str, names: list[str]) -> None:
    error = refused(untouched, "-e", setting)
    for name in names:
        assert name in error


def test_busy_port(untouched: Project, busy_port: int) -> None:
    error = refused(untouched, "-e", f"localcloud_port={busy_port}")
    assert str(busy_port) in error
    assert "localcloud_port" in error


def test_busy_cidr(untouched: Project, busy_cidr: str) -> None:
    error = refused(untouched, "-e", f"vpc_cidr={busy_cidr}")
    assert busy_cidr in error
    assert "vpc_cidr" in error


def test_no_docker(untouched: Project) -> None:
    assert "Docker" in refused(untouched, DOCKER_HOST="unix:///nonexistent.sock")


def test_too_little_disk(untouched: Project) -> None:
    error = refused(untouched, "-e", "preflight_disk_mib=1000000000")
    assert "1000000000" in error
    assert "MiB free" in error


def test_too_little_memory(untouched: Project) -> None:
    error = refused(untouched, "-e", "preflight_memory_mib=1000000000")
    assert "1000000000" in error
    assert "memory" in error


def test_unknown_environment(untouched: Project, tmp_path: Path) -> None:
    inventory = tmp_path / "prod"
    inventory.write_text("localhost ansible_connection=local\n")
    assert "inventory/aws" in refused(untouched, inventory=str(inventory))


@pytest.fixture
def without_web2py(tmp_path: Path) -> Project:
    """Web2py is only asked for when it is not in the cache: this copy has a cache of its own."""
    project = Project.copy_to(tmp_path / "project", PORT, CIDR)
    (project.root / ".cache").unlink()
    (project.root / ".cache").mkdir()
    return project


def test_web2pys_source_out_of_reach(without_web2py: Project) -> None:
    """On AWS nothing stands in for it unless somebody says so."""
    out_of_reach = "web2py_repository=file:///nonexistent/web2py.git"
    error = refused(without_web2py, "-e", out_of_reach, inventory="inventory/aws")
    for part in ("file:///nonexistent/web2py.git", "web2py_source", "web2py_stand_in=true"):
        assert part in error


def test_web2pys_stand_in_on_the_local_cloud(without_web2py: Project) -> None:
    repository = "file:///nonexistent/web2py.git"
    run = succeeded(without_web2py.playbook("playbooks/preflight.yml", web2py_repository=repository))
    assert "2.26.1" in run.output
    assert "for trying out only" in run.output


def test_web2py_in_the_cache_needs_no_source(tmp_path: Path) -> None:
    project = Project.copy_to(tmp_path / "project", PORT, CIDR)
    (project.root / ".cache").unlink()
    commit = yaml.safe_load((project.root / "roles/web2py/defaults/main.yml").read_text())["web2py_commit"]
    archive = project.root / f".cache/web2py-{commit}.tar.gz"
    archive.parent.mkdir()
    archive.touch()
    succeeded(project.playbook("playbooks/preflight.yml", web2py_repository="file:///nonexistent/web2py.git"))


def test_aws_without_credentials(untouched: Project, tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    environment = {name: "" for name in os.environ if name.startswith("AWS_")}
    environment.update(
        AWS_PROFILE="", AWS_CONFIG_FILE=nothing, AWS_SHARED_CREDENTIALS_FILE=nothing, AWS_EC2_METADATA_DISABLED="true"
    )
    error = refused(untouched, inventory="inventory/aws", **environment)
    assert "credentials" in error
    assert "AWS_PROFILE" in error
