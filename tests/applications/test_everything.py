"""What an application may have and web2py's own don't: tests/applications/everything, on three instances."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import itertools
import json
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from application import Application, Form, chosen
from browser_socket import Socket
from project_copy import Project
from stack import FLEET, GROUP, docker, fleet, healthy_targets, run_on, succeeded
from test_applications import PICTURE
from visit import SIZE, Visit
from visitor import Visitor
from waiting import wait_until

MEBIBYTE = 1024 * 1024
LIMIT = 10 * MEBIBYTE  # nginx_client_max_body_size
SOCKETS = 4 * SIZE
FORGED = "203.0.113.9"
REPORT = hashlib.sha256(b"".join(b"%063d\n" % number for number in range(50 * MEBIBYTE // 64))).hexdigest()


@pytest.fixture(scope="module")
def everything(visit_of: Callable[[Application], Visit]) -> Visit:
    (application,) = [one for one in chosen() if one.name == "everything"]
    visit = visit_of(application)
    visit.deploy()
    return visit


@pytest.fixture(scope="module")
def deployed(everything: Visit) -> Project:
    return everything.project


@pytest.fixture(scope="module")
def visitor(everything: Visit) -> Visitor:
    """Another one than in test_applications.py."""
    register = everything.application.register
    assert register is not None
    visitor = Visitor(everything.project.url)
    visitor.submit(dataclasses.replace(register, form={**register.form, "email": "alan@example.com"}))
    return visitor


@pytest.fixture(scope="module")
def paper(everything: Visit, visitor: Visitor) -> str:
    """The number of a record with a picture."""
    record = everything.application.record
    assert record is not None
    title = "Can they think?"
    visitor.submit(dataclasses.replace(record, form={"title": title}, says=title), ("picture.png", PICTURE))
    numbers = re.findall(r"/view/paper/(\d+)", visitor.ask("/library").text)
    return max(numbers, key=int)


def names(project: Project) -> dict[str, str]:
    """Host name -> id of the fleet's instances."""
    reservations = project.client("ec2").describe_instances(Filters=FLEET)["Reservations"]
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    return {instance["PrivateDnsName"].partition(".")[0]: instance["InstanceId"] for instance in instances}


def own_address(project: Project) -> str:
    """The address that the load balancer sees us come from."""
    with socket.create_connection((host_of(project), 80), timeout=30) as connection:
        return str(connection.getsockname()[0])


def host_of(project: Project) -> str:
    return str(urlsplit(project.url).hostname)


# -- settings and secrets -------------------------------------------------------------------------------------------


def test_each_instance_has_settings_secrets_and_packages(deployed: Project, everything: Visit) -> None:
    secret = everything.secrets["smtp_login"]
    said: dict[str, Any] = {}

    def all_have_answered() -> bool:
        found = requests.get(f"{deployed.url}/default/about", timeout=30).json()
        said[found["instance"]] = [found["motto"], found["secret"], found["compiled"], found["shelf"]]
        return len(said) == SIZE

    wait_until(all_have_answered, what="each instance has answered")
    assert said.keys() == names(deployed).keys()
    right = ["slow is smooth", [len(secret), hashlib.sha256(secret.encode()).hexdigest()], "a\\,b", "C"]
    assert list(said.values()) == [right] * SIZE


def test_auth_is_asked_by_the_names_of_the_deployment_only(deployed: Project) -> None:
    """The source lets every name pass."""
    statuses = {
        name: requests.get(f"{deployed.url}/default/about", headers={"Host": name}, timeout=30).status_code
        for name in (host_of(deployed), "127.0.0.1", "evil.example.com", f"evil.{host_of(deployed)}")
    }
    assert list(statuses.values()) == [200, 200, 403, 403], statuses


def files_with(text: str, directory: Path) -> set[Path]:
    found = set()
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # replaced while we look
            if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
                found.add(path)
    return found


def test_secret_stands_nowhere_else(deployed: Project, everything: Visit) -> None:
    """But in the local cloud's state, which is where AWS's parameter store is."""
    secret = everything.secrets["smtp_login"]
    assert files_with(secret, everything.source.parent) == {everything.source.parent / "smtp_login.secret"}
    state = deployed.home / "state.pickle"
    assert files_with(secret, deployed.root) - {state.with_suffix(".new")} == {state}
    assert "secret=smtp_login" in (deployed.root / "runs.log").read_text(), "what playbooks printed was searched"

    label = f"label=localcloud.port={deployed.port}"
    containers = docker("ps", "--all", "--quiet", "--filter", label).split()
    images = docker("images", "--quiet", f"localcloud-{deployed.port}/ami").split()
    assert len(containers) > SIZE
    assert images
    assert secret not in docker("inspect", *containers, *images)
    versions = deployed.client("ec2").describe_launch_template_versions(LaunchTemplateName=GROUP)
    for version in versions["LaunchTemplateVersions"]:
        user_data = base64.b64decode(version["LaunchTemplateData"].get("UserData", ""))
        assert secret not in json.dumps(version, default=str) + user_data.decode()


def test_package_is_from_the_private_index(everything: Visit) -> None:
    assert everything.index
    assert (
        "/simple/web2py-cloud-tests-shelves/web2py_cloud_tests_shelves-1.0-py3-none-any.whl" in everything.index.asked
    )


def test_password_of_the_private_index_stands_nowhere(deployed: Project, everything: Visit) -> None:
    """Where packages were installed, pip's settings are gone with the next task; nor are they logged or kept here."""
    assert everything.index
    password = everything.index.password
    assert files_with(password, deployed.root) == set()
    for instance in fleet(deployed):
        assert files_on(deployed, instance, "slow is smooth"), "all files were searched"
        assert files_on(deployed, instance, password) == []


def files_on(project: Project, instance: str, text: str) -> list[str]:
    """Those on an instance that have this text in them."""
    places = ["/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/var"]
    look = ["grep", "--recursive", "--files-with-matches", "--fixed-strings", "--devices=skip", "--no-messages"]
    # A file that goes meanwhile is an error to grep.
    return run_on(project, instance, "sh", "-c", '"$@" || true', "sh", *look, "--regexp", text, *places).splitlines()


# -- who the visitor is ---------------------------------------------------------------------------------------------


def test_visitor_is_who_reached_the_load_balancer(deployed: Project) -> None:
    """Not whom he claims to be."""
    answer = requests.get(f"{deployed.url}/default/about", headers={"X-Forwarded-For": FORGED}, timeout=30)
    assert answer.json()["client"] == own_address(deployed)


# -- websockets -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sockets(deployed: Project) -> Iterator[list[Socket]]:
    """Open ones, more than there are instances."""
    with contextlib.ExitStack() as stack:
        claims = {"Host": host_of(deployed), "X_Forwarded_For": FORGED}
        opened = [Socket(host_of(deployed), "/realtime/news", **claims) for _ in range(SOCKETS)]
        for one in opened:
            stack.enter_context(one)
        assert {one.status for one in opened} == {101}
        yield opened


def messages(one: Socket) -> Iterator[str]:
    """Without what web2py's server says of others who come."""
    return (said for said in iter(one.receive, None) if not said.startswith("+"))


def test_message_reaches_the_websockets_of_its_instance(
    deployed: Project, visitor: Visitor, sockets: list[Socket]
) -> None:
    told: dict[str, list[str]] = defaultdict(list)  # instance -> what was told there
    numbers = itertools.count()

    def all_have_told() -> bool:
        message = f"message {next(numbers)}"
        instance = visitor.ask("/default/tell", data={"message": message}).json()["instance"]
        told[instance].append(message)
        return len(told) == SIZE and min(map(len, told.values())) > 1

    wait_until(all_have_told, what="each instance has told something twice")
    reached = set()
    for one in sockets:
        heard = messages(one)
        first = next(heard)
        (instance,) = [name for name, said in told.items() if said[0] == first]
        assert [first, *itertools.islice(heard, len(told[instance]) - 1)] == told[instance]
        reached.add(instance)
    assert reached == names(deployed).keys()


def test_websockets_visitor_is_who_reached_the_load_balancer(deployed: Project, sockets: list[Socket]) -> None:
    """nginx says so when they are closed, and hands it on to the server (tests/webtier/test_websockets.py)."""
    before = len(websockets_in_logs(deployed))
    for one in sockets:
        one.__exit__()
    wait_until(lambda: len(websockets_in_logs(deployed)) >= before + SOCKETS, what="they are in the access logs")
    assert {line["client"] for line in websockets_in_logs(deployed)} == {own_address(deployed)}


def websockets_in_logs(project: Project) -> list[dict[str, Any]]:
    logs = [run_on(project, instance, "cat", "/var/log/nginx/access.log") for instance in fleet(project)]
    lines = [json.loads(line) for log in logs for line in log.splitlines()]
    return [line for line in lines if line["uri"] == "/realtime/news"]


# -- addresses and errors -------------------------------------------------------------------------------------------


def test_addresses_of_its_own(visitor: Visitor, paper: str) -> None:
    """Those that a page is asked for, and those that URL() makes."""
    page = visitor.follow(Form("/library", {}, (f"/view/paper/{paper}",)))
    assert urlsplit(page.url).path == f"/library/view/paper/{paper}"
    assert "/welcome/default/" not in visitor.ask("/library").text


def test_page_for_what_is_missing(deployed: Project) -> None:
    for path in ("/default/nothing", "/welcome/none/at/all"):
        answer = requests.get(deployed.url + path, timeout=30)
        assert (answer.status_code, answer.text) == (404, "<h1>Nothing of that name</h1>\n"), path


def test_page_for_errors_names_a_ticket(deployed: Project) -> None:
    answer = requests.get(f"{deployed.url}/default/fails", timeout=30)
    assert answer.status_code == 500
    assert "<h1>This went wrong</h1>" in answer.text
    (ticket,) = re.findall("<code>(welcome/[^<]+)</code>", answer.text)
    listed = succeeded(deployed.playbook("playbooks/tickets.yml")).output
    assert ticket.removeprefix("welcome/") in listed
    assert "GET /default/fails" in listed
    shown = succeeded(deployed.playbook("playbooks/tickets.yml", ticket=ticket)).output
    assert "RuntimeError: a fault of the application" in shown


# -- long answers and large requests --------------------------------------------------------------------------------


def test_long_answer_is_whole(deployed: Project) -> None:
    received, as_it_is = hashlib.sha256(), {"Accept-Encoding": "identity"}
    with requests.get(f"{deployed.url}/default/report", headers=as_it_is, stream=True, timeout=60) as answer:
        assert (answer.status_code, int(answer.headers["Content-Length"])) == (200, 50 * MEBIBYTE)
        for piece in answer.iter_content(MEBIBYTE):
            received.update(piece)
    assert received.hexdigest() == REPORT


@pytest.mark.parametrize("over", [1, 40 * MEBIBYTE])
@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_an_upload_gets_an_answer(deployed: Project, over: int, chunked: bool) -> None:
    """The client sees it though it sends all of its body first, as most do."""
    pieces = [bytes(MEBIBYTE)] * ((LIMIT + over) // MEBIBYTE) + [bytes(over % MEBIBYTE)]
    body = (piece for piece in pieces if piece) if chunked else b"".join(pieces)
    answer = requests.post(f"{deployed.url}/library/new/paper", data=body, timeout=120)
    assert answer.status_code == 413
    assert "413 Request Entity Too Large" in answer.text


# -- in the background; last, for an instance goes ------------------------------------------------------------------


def queued(visitor: Visitor, paper: str, seconds: int = 0) -> str:
    """The page of a new task, which takes so long."""
    return str(visitor.submit(Form(f"/default/read/{paper}", {"seconds": str(seconds)})).request.path_url)


def wait_for(visitor: Visitor, task: str, status: str) -> Any:
    """What the task's page says when it says this."""

    def look() -> Any:
        said = visitor.ask(task).json()
        return said["status"] == status and said

    return wait_until(look, 120, what=f"{task} says {status}")


def done(visitor: Visitor, task: str) -> Any:
    return wait_for(visitor, task, "COMPLETED")


def test_tasks_are_done_once_by_one_instance(deployed: Project, visitor: Visitor, paper: str) -> None:
    tasks = [queued(visitor, paper) for _ in range(5)]
    (who,) = {done(visitor, task)["result"] for task in tasks}
    assert who in names(deployed)
    readings = visitor.ask(tasks[0]).json()["readings"]
    assert readings == [[who, hashlib.sha256(PICTURE).hexdigest()]] * len(tasks)


def test_another_instance_takes_over(deployed: Project, visitor: Visitor, paper: str) -> None:
    """The task that is worked on is done as well, by the instance that goes or again, and once."""
    before = done(visitor, queued(visitor, paper))
    first, known = before["result"], names(deployed)
    current = queued(visitor, paper, seconds=20)
    assert wait_for(visitor, current, "RUNNING")["worker"].startswith(f"{first}#")
    deployed.client("ec2").terminate_instances(InstanceIds=[known[first]])
    wait_until(
        lambda: known[first] not in healthy_targets(deployed) and healthy_targets(deployed),
        what="the load balancer asks others",
    )
    after = done(visitor, queued(visitor, paper))
    assert after["result"] != first
    assert after["result"] in names(deployed)
    readings = [who for who, _ in done(visitor, current)["readings"]]
    assert len(readings) == len(before["readings"]) + 2
    assert after["result"] in readings
