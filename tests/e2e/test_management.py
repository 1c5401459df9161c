"""The management image, by the commands of its README. What can't be downloaded everywhere is provided."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from project_copy import PROJECT_ROOT, Project
from stack import assert_nothing_is_left, docker
from waiting import wait_until

from localcloud.base_images import EXTRA_CA_CERTIFICATES

README = (PROJECT_ROOT / "management/README.md").read_text()
# What is typed there: the command that deploys, the ones beside it; the shell's is below.
DEPLOY, *BESIDE = [
    command
    for block in re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[:2]
    for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
]
STAYS = "The local cloud runs until this container is stopped"
TYPED = """
set -eux
ansible-playbook playbooks/local_cloud.yml {variables}
ansible-playbook teardown.yml {variables}
"""


@pytest.fixture(scope="module")
def provided(project: Project) -> None:
    """In management/provided/ what `make` has found its way to, whatever way that was on this machine."""
    directory = project.root / "management/provided"
    directory.mkdir()
    for certificate in EXTRA_CA_CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, directory)
    shutil.copytree(PROJECT_ROOT / ".collections", directory / "collections")
    terraform = shutil.which("terraform")
    assert terraform
    shutil.copy(terraform, directory / "terraform")


@pytest.fixture
def options(project: Project) -> Iterator[str]:
    """Options for `docker run`: where the copy's links lead to, and the user's mirrors for Terraform and git."""
    directories = {str(PROJECT_ROOT / ".cache")}
    label = f"project={project.root}"
    words = [f"--label {label}"]
    terraform = Path(os.environ.get("TF_CLI_CONFIG_FILE", Path.home() / ".terraformrc"))
    for file, name, mirror in (
        (terraform, ".terraformrc", r'path *= *"(/.+)"'),
        (Path.home() / ".gitconfig", ".gitconfig", r'\[url "(/.+)"\]'),
    ):
        if file.exists():
            words.append(f"--volume {file}:/root/{name}:ro")
            directories |= set(re.findall(mirror, file.read_text()))
    # A mirror may be a directory of links: registry, namespace, provider, version, platform.
    for link in [link for directory in directories for link in Path(directory).glob("*/*/*/*/*") if link.is_symlink()]:
        directories.add(str(link.resolve()))
    words += [f"--volume {directory}:{directory}" for directory in sorted(directories)]
    yield " ".join(words)
    for container in docker("ps", "--all", "--quiet", "--filter", f"label={label}").split():
        docker("rm", "--force", container)


@pytest.fixture
def variables(project: Project) -> str:
    return f"-e localcloud_port={project.port} -e vpc_cidr={project.cidr}"


def in_terminal(command: str) -> list[str]:
    return ["script", "--quiet", "--return", "--flush", "--command", command, "/dev/null"]


@pytest.mark.timeout(5400)
def test_one_command_deploys(project: Project, provided: None, options: str, variables: str, tmp_path: Path) -> None:
    container = f"web2py-{project.port}"  # `web2py` may be the user's

    def as_shown(command: str) -> str:
        renamed = re.sub(r"(--name|exec|stop) web2py\b", rf"\1 {container}", command).rstrip()
        return renamed.replace("docker run", f"docker run {options}")

    output = tmp_path / "output"

    def said() -> str:
        return output.read_text(errors="replace")

    with output.open("wb") as file:
        deploying = subprocess.Popen(
            in_terminal(f"{as_shown(DEPLOY)} {variables}"),
            cwd=project.root, env=os.environ | {"SHELL": "/bin/bash"},
            stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_until(lambda: STAYS in said() or deploying.poll() is not None, timeout=1500, interval=1, what=STAYS)
        assert deploying.poll() is None, said()[-4000:]
        ask, tear_down, stop = map(as_shown, BESIDE)
        shown = subprocess.run(ask, shell=True, cwd=project.root, check=True, text=True, capture_output=True).stdout
        assert json.loads(shown)["date_time"]
        done = subprocess.run(
            f"{tear_down} {variables}", shell=True, cwd=project.root, check=False, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert_nothing_is_left(project)
        subprocess.run(stop, shell=True, check=True, capture_output=True)
        deploying.wait(60)
        assert container not in docker("ps", "--all", "--format", "{{.Names}}").split()
    finally:
        deploying.kill()


def test_shell_has_all_tools(project: Project, provided: None, options: str, variables: str) -> None:
    (project.root / "typed.sh").write_text(TYPED.format(variables=variables))
    done = subprocess.run(
        in_terminal(f"make management ARGS='{options}'"),
        cwd=project.root, env=os.environ | {"SHELL": "/bin/bash"}, input="bash typed.sh < /dev/null; exit $?\n",
        text=True, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert_nothing_is_left(project)
