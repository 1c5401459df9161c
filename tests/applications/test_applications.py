"""Applications, unchanged, on three instances that become two, and others, under their visitor.

What each has, and what a visitor does there: applications.yml.
"""

from __future__ import annotations

import functools
import json
import re
import struct
import subprocess
import zlib
from collections import Counter
from random import Random

import pytest
from project_copy import Project
from stack import GoesOn, fleet, run_on, succeeded
from visit import SIZE, Visit
from visitor import Visitor
from waiting import wait_until

DOWNLOADS = 12
DONE = "all has been typed"


def picture() -> bytes:
    """A PNG of noise, larger than what an upload is cut into."""
    width, height = 400, 300

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    noise = Random(width)
    rows = b"".join(b"\0" + noise.randbytes(3 * width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PICTURE = picture()


def type_into_the_shell(project: Project, *lines: str) -> str:
    """As with `make console`; what it says."""
    succeeded(project.playbook("playbooks/console.yml"))
    typed = "\n".join([*lines, "db.commit()", f"print('{DONE}')", ""])
    done = subprocess.run(
        [project.root / ".deploy/local/console"],
        input=typed, env=project.environment, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    succeeded(project.playbook("playbooks/console.yml", console_end="yes"))
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    assert DONE in done.stdout, done.stdout  # what is typed is not echoed
    return done.stdout


def answers_of_instances(project: Project, path: str) -> Counter[str]:
    """Instance -> how often its nginx has answered this path with 200."""
    found = Counter()
    for instance in fleet(project):
        log = run_on(project, instance, "cat", "/var/log/nginx/access.log")
        requests = map(json.loads, log.splitlines())
        found[instance] = sum((asked["uri"], asked["status"]) == (path, 200) for asked in requests)
    return found


def what_he_does(visit: Visit) -> None:
    """He looks at his pages, at the file that he has sent, and is counted."""
    assert visit.visitor is not None
    visit.visitor.look_at(visit.application.pages)
    if visit.application.upload:
        assert visit.visitor.follow(visit.application.upload).content == PICTURE
    if visit.application.counter:
        before, after = count(visit), count(visit)
        assert after == before + 1, f"counted {before}, then {after}"


def count(visit: Visit) -> int:
    assert visit.visitor is not None
    counter = visit.application.counter
    assert counter is not None
    return len(re.findall(counter["each"], visit.visitor.ask(counter["page"]).text))


def test_application_is_deployed_on_three_instances(visit: Visit) -> None:
    visit.deploy()


def test_visitor_registers_and_logs_in(visit: Visit) -> None:
    application = visit.application
    if application.register:
        Visitor(visit.project.url).submit(application.register)
    if application.typed:
        type_into_the_shell(visit.project, *application.typed)
    visit.visitor = Visitor(visit.project.url)
    if application.login:
        visit.visitor.submit(application.login)
    for _ in range(DOWNLOADS):
        visit.visitor.look_at(application.pages)


def test_visitor_makes_a_record(visit: Visit) -> None:
    application = visit.application
    assert visit.visitor is not None
    if not application.record:
        pytest.skip(f"{application.name} has nothing to be filled in")
    visit.visitor.submit(application.record, ("picture.png", PICTURE))
    if application.upload:
        path = visit.visitor.follow(application.upload).request.path_url
        for _ in range(DOWNLOADS):
            assert visit.visitor.ask(path).content == PICTURE
        # The link has been followed once; nginx writes after a while.
        look = functools.partial(answers_of_instances, visit.project, path)
        wait_until(lambda: look().total() == DOWNLOADS + 1, what="the requests are in the access logs")
        assert all(look().values()), f"instances that were not asked are no proof: {look()}"


def test_visitor_is_counted_wherever_he_asks(visit: Visit) -> None:
    if not visit.application.counter:
        pytest.skip(f"{visit.application.name} counts nothing")
    first = count(visit)
    assert [count(visit) for _ in range(DOWNLOADS)] == list(range(first + 1, first + 1 + DOWNLOADS))


def test_fleet_shrinks_and_gets_another_version_under_the_visitor(visit: Visit) -> None:
    project, changed = visit.project, visit.application.changed
    old = fleet(project)
    visit.configure(SIZE - 1)
    with GoesOn(lambda: what_he_does(visit)) as visitor:
        succeeded(project.playbook("playbooks/scale.yml", desired_capacity=SIZE - 1))
        wait_until(lambda: visit.in_service(SIZE - 1), 300, what=f"{SIZE - 1} instances are in service")
        with (visit.source / changed["view"]).open("a") as view:
            view.write("\n<!-- another version -->\n")
        succeeded(project.playbook("playbooks/deploy.yml"))
        wait_until(lambda: set(old).isdisjoint(fleet(project)), 300, what="the old instances are gone")
    assert visitor.failures == []
    assert visitor.answers
    what_he_does(visit)
    assert visit.visitor is not None
    assert "<!-- another version -->" in visit.visitor.ask(changed["page"]).text


def test_there_are_no_tickets(visit: Visit) -> None:
    assert "There are no tickets" in succeeded(visit.project.playbook("playbooks/tickets.yml")).output
