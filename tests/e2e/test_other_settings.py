"""Recipes that change how a deployment is reached and what it serves: that of test_interrupts.py, or a new one."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from change_it import RECIPES, Block, follow
from project_copy import PROJECT_ROOT, Project
from stack import assert_refused, builder_states, configure, docker, fleet, healthy_targets, run_on, succeeded
from waiting import wait_until

from localcloud import base_images

# An older schema of the project's own application, of somebody else's.
ELSEWHERE = """
initdb --pgdata /tmp/data --username postgres --auth trust > /dev/null &&
pg_ctl --pgdata /tmp/data --options '-c unix_socket_directories=/tmp' --wait start > /dev/null &&
psql --quiet --host /tmp postgres postgres <<SQL &&
CREATE ROLE ada LOGIN;
CREATE DATABASE shop OWNER ada;
\\connect shop ada
CREATE TABLE date_time (id SERIAL PRIMARY KEY, date_time TIMESTAMP NOT NULL, old VARCHAR(20));
SELECT setval('date_time_id_seq', 1000);
INSERT INTO date_time (date_time, old) VALUES ('2020-01-02 03:04:05', 'x');
SQL
pg_dump --host /tmp --username ada --format=custom shop > /dump/shop.dump
"""

pytestmark = pytest.mark.story("interrupted")


@pytest.fixture(scope="module")
def deployed(interrupted: Project) -> Project:
    if not (interrupted.root / ".deploy/local/url").exists():
        succeeded(interrupted.playbook("site.yml"))
    return interrupted


def test_https_with_your_domain(deployed: Project) -> None:
    """The port is the stack's, and the certificate is the one that was handed in."""
    make, change, try_it = RECIPES["HTTPS with your domain"]
    text = make.text.replace("127.0.0.1:4566", f"127.0.0.1:{deployed.port}")
    arn = follow(deployed, Block("console", text)).splitlines()[-1]
    follow(deployed, Block("diff", re.sub("arn:aws:acm:us-east-1:.*", arn, change.text)), try_it)


def test_deploy_your_own_application(deployed: Project) -> None:
    shutil.copytree(PROJECT_ROOT / "tests/webtier/probe_app", deployed.root.parent / "shop")
    assert "nobody" in follow(deployed, *RECIPES["Deploy your own web2py application"])
    assert deployed.get("/visits").body == "1"


def test_settings_and_secrets_of_the_application(deployed: Project, tmp_path: Path) -> None:
    configure(
        deployed,
        web2py_app_config={"app": {"motto": "slow is smooth"}},
        web2py_app_secrets={"smtp": {"login": "smtp_login"}},
    )
    refused = deployed.playbook("playbooks/deploy.yml")
    assert refused.returncode != 0
    assert "web2py_app_secrets names smtp_login" in refused.output
    assert "make secret ARGS='-e secret=smtp_login'" in refused.output
    secret = tmp_path / "login"
    # A chapter alone looks whether the host has what the image is to have. Of a secret, it can't see that.
    for value, chapters in {"ada:50%;#secret": ["deploy"], "ada:another secret": ["bake", "fleet", "refresh"]}.items():
        secret.write_text(f"{value}\n")
        kept = succeeded(deployed.playbook("playbooks/secret.yml", secret="smtp_login", file=secret))
        changed = [succeeded(deployed.playbook(f"playbooks/{chapter}.yml")).output for chapter in chapters]
        assert value.split(":")[1] not in "".join([kept.output, *changed])
        # The old one finishes its requests first.
        wait_until(lambda: len(fleet(deployed)) == 1, 300, what="one instance is left")
        (instance,) = fleet(deployed)
        command = "cat /opt/web2py/applications/*/private/appconfig.ini"
        said = run_on(deployed, instance, "sh", "-c", command)
        assert f"login = {value}\n" in said
        assert "motto = slow is smooth\n" in said


def test_secret_of_several_lines_under_a_name_of_its_own(deployed: Project) -> None:
    """Which `make secret` would not have taken."""
    deployed.client("ssm").put_parameter(Name="/shared/key", Type="SecureString", Value="first line\nsecond line")
    configure(deployed, web2py_app_secrets={"smtp": {"login": "/shared/key"}})
    refused = deployed.playbook("playbooks/deploy.yml")
    assert refused.returncode != 0
    assert "web2py_app_secrets names /shared/key, which is more than one line of text" in refused.output
    assert "second line" not in refused.output


def test_connections_of_the_database_are_changed_by_a_restart(deployed: Project) -> None:
    waits = "a changed setting waits for a restart: "
    configure(deployed, db_max_connections=123)
    succeeded(deployed.playbook("playbooks/database.yml"))
    assert waits in succeeded(deployed.playbook("playbooks/status.yml")).output
    restarted = succeeded(deployed.playbook("playbooks/restart_database.yml"))
    assert "The database was restarted" in restarted.output
    assert waits not in succeeded(deployed.playbook("playbooks/status.yml")).output
    assert succeeded(deployed.playbook("playbooks/restart_database.yml")).changed == 0


def test_dump_of_another_database(deployed: Project, tmp_path: Path) -> None:
    command = ["--rm", "--volume", f"{tmp_path}:/dump", base_images.POSTGRESQL.tag, "sh", "-c", ELSEWHERE]
    tmp_path.chmod(0o777)
    docker("run", *command)
    dump = tmp_path / "shop.dump"
    # Another test may have deployed another application.
    configure(deployed)
    succeeded(deployed.playbook("site.yml"))
    playbook = "playbooks/adopt_database.yml"
    assert deployed.get("/date_time").status == 200
    before = json.loads(deployed.get("/latest_date_time").body)["id"]
    for wrong, said in ((tmp_path / "nothing", "is no file"), (Path(__file__), "no dump in the format of pg_dump")):
        refused = deployed.playbook(playbook, dump=wrong)
        assert refused.returncode != 0
        assert said in refused.output
    refused = deployed.playbook(playbook, dump=dump)
    assert refused.returncode != 0
    assert "it has rows in date_time: " in refused.output
    # A host that boots asks for each path, one that writes a row among them.
    assert before <= json.loads(deployed.get("/latest_date_time").body)["id"] < 1000
    adopted = succeeded(deployed.playbook(playbook, dump=dump, replace_database="yes"))
    assert "left over: date_time.old" in adopted.output
    # The migration's own requests have written since.
    assert json.loads(deployed.get("/latest_date_time").body)["id"] > 1001
    assert succeeded(deployed.playbook("site.yml")).changed == 0


SSH = 22


def host(project: Project, instance: str) -> str:
    """Name of the instance's container."""
    return f"localcloud-{project.port}-{instance}"


def tagged(project: Project, role: str) -> list[str]:
    """Ids of the instances with that role which run."""
    filters = [{"Name": "tag:Role", "Values": [role]}, {"Name": "instance-state-name", "Values": ["running"]}]
    reservations = project.client("ec2").describe_instances(Filters=filters)["Reservations"]
    return [instance["InstanceId"] for reservation in reservations for instance in reservation["Instances"]]


def address(project: Project, instance: str) -> str:
    (found,) = project.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"]
    return str(found["Instances"][0]["PrivateIpAddress"])


def this_machine_reaches(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, SSH), timeout=3):
        return True
    return False


def reaches(project: Project, instance: str, address: str) -> bool:
    """Whether an instance can open an SSH connection to an address."""
    program = f"import socket; socket.create_connection(('{address}', {SSH}), timeout=3)"
    command = ["docker", "exec", host(project, instance), "python3", "-c", program]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def ssh_here(project: Project) -> list[str]:
    """Command lines of SSH on this machine that `make logs` has started; Ansible has other options."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = process.read_bytes().replace(b"\0", b" ").decode()
            if str(project.root / ".deploy") in command and "ServerAliveCountMax=3" in command:
                found.append(command)
    return found


def followers(project: Project, instance: str) -> str:
    """Processes on an instance that wait for lines of a log."""
    return docker("exec", host(project, instance), "sh", "-c", "pgrep -af '^(tail|journalctl) ' || true")


def logged(project: Project, path: str, shown: Path) -> set[str]:
    """Beginnings of ids: who is shown to have logged a request for that file, which is not there. More are sent."""
    for _ in range(10):
        assert project.get(path).status == 404
    lines = [line.split() for line in shown.read_text().splitlines() if f"GET {path} " in line]
    assert all(source == "nginx-error" for _, source, *_ in lines), lines
    return {name for name, *_ in lines}


def test_logs_of_all_instances(deployed: Project, tmp_path: Path) -> None:
    """As with `make logs`: a playbook, and the script that it writes. Nothing but the migration host logs in."""
    logs, shown, notes = deployed.root / ".deploy/local/logs", tmp_path / "shown", tmp_path / "notes"
    succeeded(deployed.playbook("playbooks/scale.yml", asg_min_size=2, asg_max_size=2, desired_capacity=2))
    wait_until(lambda: healthy_targets(deployed) == set(fleet(deployed)), 120)
    first, second = fleet(deployed)

    assert_refused(deployed.playbook("playbooks/logs.yml", follow="perhaps"), 'follow is "perhaps"')

    # What there is, of both.
    succeeded(deployed.playbook("playbooks/logs.yml", follow="no", lines=1000))
    done = subprocess.run([logs], env=deployed.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = {tuple(line.split()[:2]) for line in done.stdout.splitlines()}
    assert {(name[:10], source) for name in (first, second) for source in ("uwsgi", "ready", "nginx")} <= said
    wait_until(lambda: builder_states(deployed) == {"stopped"})

    # What comes, also of an instance that comes; and one that goes.
    succeeded(deployed.playbook("playbooks/logs.yml", lines=0))
    with (
        shown.open("w") as output,
        notes.open("w") as errors,
        subprocess.Popen([logs], env=deployed.environment, stdout=output, stderr=errors) as process,
    ):
        wait_until(lambda: logged(deployed, "/static/both", shown) == {first[:10], second[:10]})
        assert all(followers(deployed, instance) for instance in (first, second))
        (migration,) = tagged(deployed, "migration")
        target = address(deployed, second)
        assert reaches(deployed, migration, target)
        assert not reaches(deployed, first, target)
        assert not this_machine_reaches(target)
        deployed.client("ec2").terminate_instances(InstanceIds=[first])
        wait_until(lambda: f"{first[:10]}  is gone" in notes.read_text(), 120)
        wait_until(lambda: "has come" in notes.read_text(), 120)
        third = wait_until(lambda: set(fleet(deployed)) - {first, second}, 120).pop()
        wait_until(lambda: third[:10] in logged(deployed, "/static/third", shown), 120)
        assert ssh_here(deployed)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, notes.read_text()
    assert ssh_here(deployed) == []
    wait_until(lambda: not any(followers(deployed, instance) for instance in (second, third)))
    wait_until(lambda: builder_states(deployed) == {"stopped"})
