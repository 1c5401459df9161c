"""The story on the local cloud, second part: a fleet of two, under load, through good and bad versions and back again.

No request may fail, and from the end of each run on only the expected version may be served. Each bad version is caught
at the first place that can: on the template or the migration host, or, where the fault is only put into the image, by
the instances of the fleet, before they get a request.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from change_it import RECIPES, follow
from project_copy import Project, Run
from stack import (
    CONTROLLER,
    GROUP,
    Load,
    application,
    assert_refused,
    builder_states,
    docker,
    edit,
    fleet,
    reader,
    succeeded,
    wait_until_quiet,
)
from waiting import wait_until

pytestmark = pytest.mark.story("story")

AFTERWARDS = 4  # seconds for which the served version is watched after a run
PLAIN = "return _answer(200, date_time=_iso(request.utcnow))"
VERSION = 'return _answer(200, date_time=_iso(request.utcnow), version="{}")'


@pytest.fixture
def project(story: Project) -> Project:
    return story


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    """The load, the fleet and what is deployed share the machine with two other groups of tests at most."""
    wait_until_quiet()


@dataclass(frozen=True)
class Deployed:
    """What a bad version must not change."""

    ami_id: str
    group_version: str
    instances: frozenset[str]
    images: frozenset[str]
    template_versions: int


def images(project: Project) -> list[dict[str, Any]]:
    """Images of the application."""
    found = project.client("ec2").describe_images(Filters=[{"Name": "tag-key", "Values": ["ContentHash"]}])["Images"]
    return list(found)


def tags(image: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in image["Tags"]}


def deployed(project: Project) -> Deployed:
    (group,) = project.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    used = str(group["LaunchTemplate"]["Version"])
    versions = project.client("ec2").describe_launch_template_versions(LaunchTemplateName=GROUP)[
        "LaunchTemplateVersions"
    ]
    data = {str(version["VersionNumber"]): version["LaunchTemplateData"] for version in versions}
    return Deployed(
        ami_id=data[used]["ImageId"],
        group_version=used,
        instances=frozenset(fleet(project)),
        images=frozenset(image["ImageId"] for image in images(project)),
        template_versions=len(versions),
    )


def newest_template_image(project: Project) -> str:
    versions = project.client("ec2").describe_launch_template_versions(LaunchTemplateName=GROUP, Versions=["$Latest"])
    return str(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])


def served(project: Project) -> str:
    return version_of(project.get("/date_time_only").body)


def version_of(body: str) -> str:
    return str(json.loads(body).get("version", "1"))


def set_version(project: Project, new: str) -> None:
    """Change the application, so that it says which version it is."""
    controller = application(project) / CONTROLLER
    text = controller.read_text()
    changed = re.sub(re.escape(PLAIN) + "|" + re.escape(VERSION).replace(r"\{\}", r"\d+"), VERSION.format(new), text)
    assert changed != text
    controller.write_text(changed)


@pytest.fixture
def mended(project: Project) -> Iterator[None]:
    """The application is at the end what it was at the beginning."""
    before = {path: path.read_text() for path in application(project).rglob("*.py")}
    yield
    for path in application(project).rglob("*.py"):
        path.unlink()
    for path, text in before.items():
        path.write_text(text)


class Watched:
    """A run of a playbook under load: nothing failed, and which versions were served before and after its end."""

    def __init__(self, project: Project, note: Callable[[str], None], name: str, run: Callable[[], Run]) -> None:
        with Load(project) as load, reader(project, "/date_time_only") as visitor:
            began = time.monotonic()
            self.run = run()
            ended = time.monotonic()
            time.sleep(AFTERWARDS)
        served = [(asked, answer) for asked, answer in visitor.answers if answer.status == 200]
        versions = [(asked, version_of(answer.body)) for asked, answer in served]
        self.during = {version for asked, version in versions if asked <= ended}
        self.afterwards = {version for asked, version in versions if asked > ended}
        took = f"{ended - began:.0f} s at {load.rate} requests/s"
        note(f"{name}: {load.sent} requests, {load.failures.total()} failed, {took}")
        assert load.sent > load.rate * (ended - began) * 0.9, "the load was sent"
        assert load.failures == {}, f"{load.story}\n{self.run.output[-2000:]}"
        assert (visitor.failures, len(served)) == ([], len(visitor.answers))


def playbook(project: Project, name: str, **variables: Any) -> Callable[[], Run]:
    return lambda: project.playbook(f"playbooks/{name}.yml", **variables)


def recipe(project: Project, heading: str) -> Callable[[], Run]:
    """Follow a recipe of docs/change-it.md. What is typed there must succeed."""
    return lambda: Run(0, follow(project, *RECIPES[heading]))


def test_good_version_reaches_the_whole_fleet(project: Project, note_figure: Callable[[str], None]) -> None:
    before = deployed(project)
    watched = Watched(project, note_figure, "good version", recipe(project, "Change what an endpoint answers"))
    assert watched.during == {"1", "2"}
    assert watched.afterwards == {"2"}
    after = deployed(project)
    assert after.ami_id != before.ami_id
    assert after.template_versions == before.template_versions + 1
    assert after.group_version == str(after.template_versions)
    wait_until(lambda: before.instances.isdisjoint(fleet(project)), what="the old instances are gone")
    assert len(fleet(project)) == 2
    wait_until(lambda: builder_states(project) == {"stopped"}, what="the builder hosts are stopped")


def test_nothing_changed_nothing_done(project: Project) -> None:
    before = deployed(project)
    refreshes = project.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=GROUP)
    run = succeeded(project.playbook("playbooks/deploy.yml"))
    assert run.changed == 0
    assert deployed(project) == before
    assert (
        project.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"]
        == (refreshes["InstanceRefreshes"])
    )
    assert builder_states(project) == {"stopped"}


def test_status_says_what_is_deployed(project: Project) -> None:
    run = succeeded(project.playbook("playbooks/status.yml"))
    assert run.changed == 0
    now = deployed(project)
    (image,) = (image for image in images(project) if image["ImageId"] == now.ami_id)
    for text in (
        project.url,
        f"Version    {tags(image)['Release']}",
        f"Image      {now.ami_id}, deployed ",
        "Fleet      2 of 2 instances in service, 2 to 20 allowed",
        "stopped, template",
        "web2py-local-cpu-low",
        "Database   available, PostgreSQL 17",
        f"commit {tags(image)['Commit'] or 'unknown'}",
        f"Costs      2 x t3.micro, 4 disks, load balancer, db.t4g.micro, {len(now.images)} images; ",
    ):
        assert text in run.output
    for instance in now.instances:
        assert re.search(rf"{instance} in eu-central-1[ab], InService, healthy", run.output)


BAD: dict[str, tuple[str, str, str, str]] = {
    "does not start": (
        CONTROLLER,
        "import socket\n",
        "import socket\nraise SystemExit\n",
        "does not serve the application",
    ),
    "fails its health check": (
        CONTROLLER,
        'return _answer(200, status="ok")',
        "raise OSError('bad health')",
        "/health: 500",
    ),
    "answers 500 at one endpoint": (
        CONTROLLER,
        "        moment = request.utcnow",
        "        raise OSError('bad endpoint')\n        moment = request.utcnow",
        "/date_time: 500",
    ),
    # One that would lose data: tests/localcloud/test_migration.py.
    "has a migration that fails": (
        "models/db.py",
        "    db.define_table(",
        '    db.define_table("bad_table", Field("bad_column", "no such type"))\n    db.define_table(',
        "bad_column",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_version_is_caught_before_there_is_an_image(
    project: Project, mended: None, note_figure: Callable[[str], None], fault: str
) -> None:
    before = deployed(project)
    set_version(project, "3")
    file, old, new, reason = BAD[fault]
    edit(application(project) / file, old, new)
    watched = Watched(project, note_figure, f"version that {fault}", playbook(project, "deploy"))
    assert_refused(watched.run, reason)
    assert watched.during == watched.afterwards == {"2"}
    assert deployed(project) == before


# What is put into the image of a good version after it was baked, and what the failure says then.
FAULTY_IMAGES = {
    # An instance asks itself for each smoke path, /health among them.
    "answers 500 at one endpoint": (
        "RUN sed -i 's/moment = request.utcnow.*/raise OSError/' /opt/web2py/applications/welcome/" + CONTROLLER,
        "not ready: /date_time: 500",
    ),
    "does not start": ("RUN rm /opt/web2py/wsgihandler.py", "not ready: "),
    "does not boot": ("RUN rm /sbin/init && ln -s /bin/false /sbin/init", "its console is empty"),
}


@pytest.fixture(scope="module")
def served_image(story: Project) -> str:
    """The image that serves while the bad ones are tried."""
    return deployed(story).ami_id


@pytest.fixture(scope="module")
def baked(story: Project) -> str:
    """Docker's image of a good version that was baked and not deployed."""
    set_version(story, "4")
    succeeded(story.playbook("playbooks/hosts.yml", application_only=True))
    succeeded(story.playbook("playbooks/bake.yml"))
    (image,) = (image for image in images(story) if "DeployedAt" not in tags(image))
    repository = f"localcloud-{story.port}/ami"
    docker("tag", f"{repository}:{image['ImageId']}", f"{repository}:as-baked")
    return str(image["ImageId"])


# A new instance has less time than usual: it never becomes healthy. Enough to say why, beside other tests, too.
LAUNCH_TIMEOUT = 60  # seconds


@pytest.mark.parametrize("fault", FAULTY_IMAGES)
def test_bad_image_is_caught_by_the_fleet_and_undone(
    project: Project, served_image: str, baked: str, note_figure: Callable[[str], None], fault: str
) -> None:
    before = deployed(project)
    assert before.ami_id == served_image
    # A failed image isn't used again: take that back, and put the next fault into it.
    project.client("ec2").delete_tags(Resources=[baked], Tags=[{"Key": "Rejected"}])
    change, reason = FAULTY_IMAGES[fault]
    repository = f"localcloud-{project.port}/ami"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", f"{repository}:{baked}", "-"],
        input=f"FROM {repository}:as-baked\n{change}\n", check=True, text=True, capture_output=True,
    )  # fmt: skip
    run = playbook(project, "deploy", launch_timeout=LAUNCH_TIMEOUT)
    watched = Watched(project, note_figure, f"image that {fault}", run)
    assert_refused(watched.run, "the new version does not serve", f"runs the image {before.ami_id} as before", reason)
    assert watched.during == watched.afterwards == {"2"}
    after = deployed(project)
    assert (after.ami_id, after.group_version) == (before.ami_id, before.group_version)
    assert newest_template_image(project) == before.ami_id
    assert "Rejected" in tags(next(image for image in images(project) if image["ImageId"] == baked))
    wait_until(lambda: frozenset(fleet(project)) == before.instances, what="only the instances from before are left")


def test_next_good_version_just_works_and_removes_the_failed_image(
    project: Project, served_image: str, baked: str, note_figure: Callable[[str], None]
) -> None:
    before = deployed(project)
    assert baked in before.images
    run = playbook(project, "deploy", keep_builders=True)
    watched = Watched(project, note_figure, "good version after bad ones", run)
    succeeded(watched.run)
    assert watched.afterwards == {"4"}
    found = project.client("ec2").describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    tags_of_running = [tags(one) for reservation in found["Reservations"] for one in reservation["Instances"]]
    roles = {tags_of_one["Role"] for tags_of_one in tags_of_running}
    assert roles == {"fleet", "template"}, "the template host is kept, the migration host had nothing to do"
    after = deployed(project)
    assert not [image for image in images(project) if "Rejected" in tags(image)]
    assert after.ami_id != baked
    assert after.ami_id != served_image
    assert served_image in after.images, "there is an image to go back to"


def test_rollback_goes_back_to_the_version_before(project: Project, note_figure: Callable[[str], None]) -> None:
    left = deployed(project).ami_id
    autoscaling = project.client("autoscaling")
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=19)
    watched = Watched(project, note_figure, "rollback", playbook(project, "rollback"))
    succeeded(watched.run)
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["MaxSize"] == 19, "the limits are left as somebody has set them meanwhile"
    assert watched.during == {"4", "2"}
    assert watched.afterwards == {"2"}
    assert deployed(project).ami_id != left
    assert newest_template_image(project) == deployed(project).ami_id
    assert_refused(project.playbook("playbooks/rollback.yml", ami="ami-0123"), "ami-0123 is no image of web2py-local")


def test_rollback_to_a_given_image_and_a_second_run_meanwhile(project: Project) -> None:
    (wanted,) = (image["ImageId"] for image in images(project) if "RolledBackAt" in tags(image))
    # Without load: three playbooks at once take all that a small machine has.
    with project.started_playbook("playbooks/rollback.yml", ami=wanted) as first:
        first.wait_for("The instance refresh has ended")
        second = project.playbook("playbooks/scale.yml")
        assert_refused(second, "another run is changing local", "playbooks/rollback.yml", "-e break_lock=")
        # What only reads is not refused.
        succeeded(project.playbook("playbooks/status.yml"))
        succeeded(first.wait())
    assert served(project) == "4"


def test_images_that_are_too_old_are_gone_with_their_snapshots(project: Project) -> None:
    kept = images(project)
    assert len(kept) == 3, "images_to_keep"
    assert deployed(project).ami_id in {image["ImageId"] for image in kept}
    used = {mapping["Ebs"]["SnapshotId"] for image in kept for mapping in image["BlockDeviceMappings"]}
    snapshots = project.client("ec2").describe_snapshots(Filters=[{"Name": "tag-key", "Values": ["ContentHash"]}])
    assert {snapshot["SnapshotId"] for snapshot in snapshots["Snapshots"]} <= used
    before = deployed(project)
    succeeded(project.playbook("playbooks/deploy.yml", images_to_keep=2))
    assert deployed(project).images < before.images
    assert len(deployed(project).images) == 2
    assert deployed(project).instances == before.instances


def test_version_that_fails_only_under_load_is_taken_back(
    project: Project, mended: None, note_figure: Callable[[str], None]
) -> None:
    """It passes every check, and each process breaks after some requests. Visitors see that, until it is taken back."""
    before, version = deployed(project), served(project)
    set_version(project, "5")
    edit(
        application(project) / CONTROLLER,
        VERSION.format("5"),
        'socket.asked = getattr(socket, "asked", 0) + 1\n'
        f'    if socket.asked > 100:\n        raise OSError("worn out")\n    {VERSION.format("5")}',
    )
    with Load(project) as load:
        run = project.playbook("playbooks/deploy.yml", refresh_bake_time=180)
    note_figure(f"version that wears out: {load.sent} requests, {load.failures.total()} failed")
    assert_refused(run, "the new version does not serve", "web2py-local-errors", before.ami_id)
    assert {path for path, _ in load.failures} == {"/date_time_only"}
    with Load(project) as load:
        time.sleep(AFTERWARDS)
    assert load.failures == {}
    assert served(project) == version
    after = deployed(project)
    assert (after.ami_id, newest_template_image(project)) == (before.ami_id, before.ami_id)


FIELD = 'Field("date_time", "datetime", notnull=True)'
FIELDS = "fields = (db.date_time.id, db.date_time.date_time"


def test_column_that_is_taken_away_under_load(
    project: Project, mended: None, note_figure: Callable[[str], None]
) -> None:
    """The version before selects it until its last instance is gone; then it goes, when it is told so."""
    models, controller = (application(project) / name for name in ("models/db.py", CONTROLLER))
    without = {path: path.read_text() for path in (models, controller)}
    edit(models, FIELD, f'{FIELD}, Field("note", default="kept")')
    edit(models, f"{FIELDS})", f"{FIELDS}, db.date_time.note)")
    edit(controller, "((row_id, moment),) = rows", "((row_id, moment, _note),) = rows")
    set_version(project, "6")
    succeeded(project.playbook("playbooks/deploy.yml"))
    for path, text in without.items():
        path.write_text(text)
    set_version(project, "7")
    drop = playbook(project, "migrate", drop_columns=True)
    too_early = drop()
    assert_refused(too_early, "columns can't be dropped as long as another version", *fleet(project))
    watched = Watched(project, note_figure, "column taken away", playbook(project, "deploy"))
    succeeded(watched.run)
    assert "date_time.note" in watched.run.output, "it is left over"
    assert (watched.during, watched.afterwards) == ({"6", "7"}, {"7"})
    wait_until(lambda: len(fleet(project)) == 2, what="the instances of the version before are gone")
    watched = Watched(project, note_figure, "column dropped", drop)
    succeeded(watched.run)
    assert re.search(r"date_time\.note is dropped for good \(\d+ of \d+ rows have a value\)", watched.run.output)
    assert "date_time.note" not in succeeded(drop()).output, "it is gone"
