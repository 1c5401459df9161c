"""Files that visitors upload to one of two hosts: they are on both, or where the application says."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from test_web2py_semantics import CHILD
from web_host import MIGRATED, PROBE, Visitor, Web, answers

from benchmarks.lab import Lab, wait_until

MEBIBYTE = 1024 * 1024
SETTINGS: dict[str, object] = {
    **PROBE,
    **MIGRATED,
    "web2py_app_sessions": "database",
    "nginx_client_max_body_size": "60m",
    "uwsgi_harakiri": 60,
}
BUCKET, REGION = "uploads", "us-east-1"
ON_DISK = "/var/lib/web2py/welcome/uploads"
FILES = ["find", ON_DISK, "-type", "f", "-printf", "%f\n"]
IMPORT = ["runuser", "--user=www-data", "--", "/opt/web2py-venv/bin/python", "/usr/local/sbin/web2py-uploads"]
# The largest that a process of uWSGI has been since the last reset, in KiB.
PEAK = "grep -h VmHWM $(grep -lx uwsgi /proc/[0-9]*/comm | sed s/comm/status/) | awk '{print $2}' | sort -n | tail -1"
RESET = "for one in $(grep -lx uwsgi /proc/[0-9]*/comm | sed s/comm/clear_refs/); do echo 5 > $one; done"


# The host has no role here, so it gets keys: for the user that runs web2py.
KEYS = """
mkdir -p /var/www/.aws
printf '[default]\\naws_access_key_id = test\\naws_secret_access_key = test\\n' > /var/www/.aws/credentials
"""


@dataclass
class Store:
    """Where uploads are kept, past the hosts: `settings` say it to them."""

    settings: dict[str, object]
    names: Callable[[], set[str]]
    remove: Callable[[str], object]
    cut: Callable[[str], object]  # as an interrupted run would have left it


def database(lab: Lab) -> Store:
    def names() -> set[str]:
        return {str(name) for (name,) in lab.sql("SELECT DISTINCT name FROM web2py_upload_welcome")}

    return Store(
        {"web2py_app_uploads": "database"},
        names,
        lambda name: lab.sql(f"DELETE FROM web2py_upload_welcome WHERE name = '{name}'"),
        lambda name: lab.sql(f"UPDATE web2py_upload_welcome SET content = 'from' WHERE name = '{name}'"),
    )


def s3(server: ThreadedMotoServer) -> Store:
    address, port = server.get_host_and_port()
    endpoint = f"http://{address}:{port}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client: Any = boto3.client("s3", endpoint_url=endpoint, region_name=REGION, **keys)
    client.create_bucket(Bucket=BUCKET)

    def names() -> set[str]:
        found = client.list_objects_v2(Bucket=BUCKET, Prefix="welcome/").get("Contents", [])
        return {one["Key"].removeprefix("welcome/") for one in found}

    settings: dict[str, object] = {
        "web2py_app_uploads": "s3",
        "web2py_app_uploads_bucket": BUCKET,
        "web2py_app_uploads_region": REGION,
        "web2py_app_uploads_endpoint": endpoint,
    }
    return Store(
        settings,
        names,
        lambda name: client.delete_object(Bucket=BUCKET, Key=f"welcome/{name}"),
        lambda name: client.put_object(Bucket=BUCKET, Key=f"welcome/{name}", Body=b"from"),
    )


def ready(host: Lab) -> Lab:
    wait_until(lambda: answers(host, "/kept/nothing"), "the host serves")
    return host


@pytest.fixture(scope="module", params=["database", "s3"])
def store(request: pytest.FixtureRequest, host: Web) -> Iterator[Store]:
    if request.param == "database":
        yield database(host.lab)
        return
    server = ThreadedMotoServer(ip_address=host.lab.gateway, port=0)
    server.start()
    yield s3(server)
    server.stop()


@pytest.fixture(scope="module")
def fleet(host: Web, store: Store) -> list[Lab]:
    # The store before this one has left its own on the same host and in the same database.
    host.lab.run("sh", "-c", f"rm -rf {ON_DISK}/* /tmp/old")
    if store.settings["web2py_app_uploads"] == "s3":
        host.lab.sql("DROP TABLE IF EXISTS web2py_upload_welcome", user="postgres")
    first = host.become(**{**SETTINGS, **store.settings})
    first.sql(CHILD)
    first.run("sh", "-c", KEYS)
    return [ready(first), ready(first.beside())]


@pytest.fixture
def visitor(fleet: list[Lab]) -> Visitor:
    """His requests go to one host after the other."""
    return Visitor(fleet)


def submit(visitor: Visitor, record: str = "", files: dict[str, tuple[str, bytes]] | None = None, **fields: str) -> str:
    """The record's number, after its form was sent."""
    page = visitor.ask(f"/files/edit/{record}").text
    hidden = dict(re.findall(r'name="(_formkey|_formname|id)"[^>]* value="([^"]*)"', page))
    answer = visitor.ask(f"/files/edit/{record}", files, **hidden, **fields)
    assert answer.status_code == 200
    assert answer.text.isdecimal(), answer.text
    return answer.text


def uploaded(visitor: Visitor, record: str, field: str = "content") -> str:
    """The name that the record's form has for an upload, in the address of its download."""
    found = re.search(rf"/files/download/(document\.{field}\.[^\"]+)", visitor.ask(f"/files/edit/{record}").text)
    return unquote(found[1]) if found else ""


def download(host: Lab, name: str, **headers: str) -> requests.Response:
    return requests.get(f"{host.url}/files/download/{name}", headers=headers, timeout=60)


def test_upload_is_on_every_host_and_on_no_disk(fleet: list[Lab], visitor: Visitor, store: Store) -> None:
    content = os.urandom(700_001)
    name = uploaded(visitor, submit(visitor, files={"content": ("Übersicht 東京 1.PDF", content)}, title="it"))
    assert name in store.names()
    for host in fleet:
        answer = download(host, name)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["Content-Length"] == "700001"
        assert answer.headers["Content-Type"] == "application/pdf"
        found = re.fullmatch('attachment; filename="(.*)"', answer.headers["Content-Disposition"])
        assert found
        assert unquote(found[1]) == "Übersicht_東京_1.PDF"  # web2py's own way with spaces
        assert host.run(*FILES) == ""


def test_record_is_as_small_as_with_files(fleet: list[Lab], visitor: Visitor) -> None:
    submit(visitor, files={"content": ("a.txt", b"a" * 1000)}, title="small")
    record = visitor.ask("/files/records").json()[-1]
    assert record.keys() == {"id", "title", "content", "fleeting", "own", "chosen"}
    assert len(str(record)) < 500


def test_fifty_megabytes(fleet: list[Lab], visitor: Visitor) -> None:
    """They come back as they went, and are never in memory as a whole."""
    content = os.urandom(MEBIBYTE) * 50
    for host in fleet:
        assert download(host, "none").status_code == 404  # all that a process loads for its first request
        host.run("sh", "-c", RESET)
    before = max(int(host.run("sh", "-c", PEAK)) for host in fleet)
    name = uploaded(visitor, submit(visitor, files={"content": ("large.bin", content)}))
    wanted = hashlib.sha256(content).hexdigest()
    for host in fleet:
        assert hashlib.sha256(download(host, name).content).hexdigest() == wanted
        assert requests.get(f"{host.url}/files/digest/{name}", timeout=60).text == wanted
        assert int(host.run("sh", "-c", PEAK)) - before < 20 * 1024


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=262143-262144", 262143, 262144),
        ("bytes=300000-", 300000, 599999),
        ("bytes=-5", 599995, 599999),
        ("bytes=100000-9999999", 100000, 599999),
    ],
)
def test_part_of_an_upload(fleet: list[Lab], visitor: Visitor, asked: str, first: int, last: int) -> None:
    content = os.urandom(600_000)
    name = uploaded(visitor, submit(visitor, files={"content": ("part.bin", content)}))
    for host in fleet:
        answer = download(host, name, Range=asked)
        assert (answer.status_code, answer.content) == (206, content[first : last + 1])
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/600000"
        assert answer.headers["Content-Length"] == str(last - first + 1)


def test_what_is_no_part(fleet: list[Lab], visitor: Visitor) -> None:
    name = uploaded(visitor, submit(visitor, files={"content": ("part.txt", b"0123456789")}))
    for asked in ("bytes=5-3", "bytes=0-1,4-5", "lines=1-2", "bytes=-"):
        answer = download(fleet[0], name, Range=asked)
        assert (answer.status_code, answer.text) == (200, "0123456789")
    for asked in ("bytes=10-", "bytes=-0"):
        answer = download(fleet[0], name, Range=asked)
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */10")


def test_browser_that_has_it_already(fleet: list[Lab], visitor: Visitor) -> None:
    name = uploaded(visitor, submit(visitor, files={"content": ("part.txt", b"0123456789")}))
    since = download(fleet[0], name).headers["Last-Modified"]
    assert [download(host, name, **{"If-Modified-Since": since}).status_code for host in fleet] == [304, 304]


def test_empty_file(fleet: list[Lab], visitor: Visitor) -> None:
    name = uploaded(visitor, submit(visitor, files={"content": ("empty.txt", b"")}))
    answer = download(fleet[1], name)
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")


def test_application_that_makes_its_own_answer(fleet: list[Lab], visitor: Visitor) -> None:
    name = uploaded(visitor, submit(visitor, files={"content": ("own.txt", b"0123456789")}))
    for host in fleet:
        answer = requests.get(f"{host.url}/files/stream/{name}", headers={"Range": "bytes=2-4"}, timeout=30)
        assert (answer.status_code, answer.text) == (206, "234")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="own.txt"'


def test_what_a_request_has_stored_it_can_read(visitor: Visitor) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(100_000)) + b"last"
    answer = visitor.ask("/files/store_and_read", {"content": ("lines.txt", lines)})
    assert answer.json() == ["lines.txt", 100_001, "last"]


def test_who_may_not_read_the_record_gets_no_upload(fleet: list[Lab], visitor: Visitor) -> None:
    name = uploaded(visitor, submit(visitor, files={"content": ("secret.txt", b"secret")}))
    answer = requests.get(f"{fleet[0].url}/files/read_without_leave/{name}", timeout=30)
    assert answer.status_code == 403
    assert "secret" not in answer.text


def test_replaced_and_deleted_as_with_files(fleet: list[Lab], visitor: Visitor, store: Store) -> None:
    """web2py removes an upload with its record where the field says autodelete=True, and leaves it otherwise."""
    both = {"content": ("a.txt", b"first"), "fleeting": ("a.txt", b"first")}
    record = submit(visitor, files=both)
    first = {field: uploaded(visitor, record, field) for field in both}
    assert set(first.values()) <= store.names()

    assert submit(visitor, record, {"content": ("b.txt", b"second"), "fleeting": ("b.txt", b"second")}) == record
    second = {field: uploaded(visitor, record, field) for field in both}
    assert [download(host, name).text for host in fleet for name in second.values()] == ["second"] * 4
    assert download(fleet[0], first["fleeting"]).status_code == 404
    assert download(fleet[0], first["content"]).text == "first"

    submit(visitor, record, fleeting__delete="on")
    assert uploaded(visitor, record, "fleeting") == ""
    assert uploaded(visitor, record) == second["content"]
    assert second["fleeting"] not in store.names()

    submit(visitor, record, {"fleeting": ("c.txt", b"third")})
    third = uploaded(visitor, record, "fleeting")
    assert third in store.names()
    submit(visitor, record, delete_this_record="on")
    assert third not in store.names()
    assert [download(host, third).status_code for host in fleet] == [404, 404]


def test_removed_content_of_many_pieces(fleet: list[Lab], visitor: Visitor, store: Store) -> None:
    record = submit(visitor, files={"fleeting": ("large.bin", bytes(55 * MEBIBYTE))})
    name = uploaded(visitor, record, "fleeting")
    if store.settings["web2py_app_uploads"] == "database":
        ((pieces,),) = fleet[0].sql(f"SELECT count(*) FROM web2py_upload_welcome WHERE name = '{name}'")
        assert pieces > 200, "one statement does not remove them all"
    submit(visitor, record, delete_this_record="on")
    assert name not in store.names()


@pytest.mark.parametrize("field", ["own", "chosen"])
def test_application_that_chooses_a_place_keeps_it(fleet: list[Lab], field: str, store: Store) -> None:
    for host, other in (fleet, fleet[::-1]):
        visitor = Visitor([host])
        name = uploaded(visitor, submit(visitor, files={field: ("own.txt", b"own")}), field)
        assert download(host, name).text == "own"
        assert name in host.run(*FILES).splitlines()
        assert download(other, name).status_code == 404
        assert name not in store.names()


def test_uploads_of_another_machine(fleet: list[Lab], visitor: Visitor, store: Store) -> None:
    """They are put where all hosts have them, their records being there already; a second time nothing is done."""
    record = submit(visitor, files={"content": ("Ü.txt", b"from another machine")})
    name = uploaded(visitor, record)
    host = fleet[0]
    prepare = f"""
    set -e
    mkdir -p /tmp/old/uploads/document.content/ab
    cd /tmp/old/uploads
    printf 'from another machine' > document.content/ab/{name}
    printf '' > document.content.aaaaaaaaaaaaaaaa.YS50eHQ=.txt
    touch .gitignore
    tar czf /tmp/uploads.tar.gz -C /tmp/old uploads
    """
    host.run("sh", "-c", prepare)
    store.remove(name)
    assert download(host, name).status_code == 404
    command = [*IMPORT, "--web2py=/opt/web2py", "/tmp/uploads.tar.gz"]
    said = host.run(*command)
    assert "2 uploads stored, 0 were there already" in said
    assert "uploads/.gitignore" in said
    assert [download(one, name).text for one in fleet] == ["from another machine"] * 2
    # A run that was interrupted has left a part.
    store.cut(name)
    assert "1 uploads stored, 1 were there already" in host.run(*command)
    assert "0 uploads stored, 2 were there already" in host.run(*command)
    assert [download(one, name).text for one in fleet] == ["from another machine"] * 2


def test_uploads_that_were_in_the_database(fleet: list[Lab], visitor: Visitor, store: Store) -> None:
    """A deployment that changes to S3 brings them there."""
    host = fleet[0]
    command = [*IMPORT, "--web2py=/opt/web2py", "--from-database"]
    if store.settings["web2py_app_uploads"] == "database":
        assert "0 uploads stored" in host.run(*command)
        return
    content = os.urandom(600_000)
    name = uploaded(visitor, submit(visitor, files={"content": ("moved.bin", content)}))
    store.remove(name)
    columns = "name text, start bigint, content bytea, created_datetime timestamp"
    host.sql(f"CREATE TABLE IF NOT EXISTS web2py_upload_welcome ({columns})")
    for start in range(0, len(content), 256 * 1024):
        piece = content[start : start + 256 * 1024].hex()
        host.sql(f"INSERT INTO web2py_upload_welcome VALUES ('{name}', {start}, '\\x{piece}', now())")
    assert "1 uploads stored, 0 were there already" in host.run(*command)
    assert "0 uploads stored, 1 were there already" in host.run(*command)
    assert [download(one, name).content == content for one in fleet] == [True, True]


def test_local(host: Web, fleet: list[Lab], store: Store) -> None:
    first = host.become(**{**SETTINGS, "web2py_app_uploads": "local"})
    hosts = [ready(first), ready(first.beside())]
    before = store.names()
    visitor = Visitor([first])
    name = uploaded(visitor, submit(visitor, files={"content": ("local.txt", b"local")}))
    assert [download(one, name).status_code for one in hosts] == [200, 404]
    assert name in first.run(*FILES).splitlines()
    assert store.names() == before
