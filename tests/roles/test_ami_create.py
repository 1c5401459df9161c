"""An image is made although AWS doesn't know it at once, as it may be: its API is only eventually consistent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
import requests
from moto_server import moto_server
from programs import AWS

ROOT = Path(__file__).resolve().parents[2]
UNKNOWN = """<Response><Errors><Error><Code>InvalidAMIID.NotFound</Code>\
<Message>The image id does not exist</Message></Error></Errors><RequestID>1</RequestID></Response>"""
PLAYBOOK = """
- hosts: localhost
  tasks:
    - ansible.builtin.include_role: {name: ami, tasks_from: create}
    - ansible.builtin.copy: {content: "{{ ami_id }}", dest: "{{ answer }}", mode: "0600"}
"""


class Forgetful(BaseHTTPRequestHandler):
    """In front of moto: the first questions for an image by its id are answered as by an AWS that doesn't know it."""

    endpoint: str
    unknown = 0  # questions yet to be answered so
    asked = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = urllib.parse.parse_qs(body.decode())
        kind = type(self)
        if request.get("Action") == ["DescribeImages"] and "ImageId.1" in request:
            kind.asked += 1
            if kind.unknown:
                kind.unknown -= 1
                self.answer(400, UNKNOWN.encode())
                return
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        answer = requests.post(kind.endpoint, body, headers=headers, timeout=60)
        self.answer(answer.status_code, answer.content)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Forgetful]]:
    with moto_server("localcloud") as endpoint:

        class Handler(Forgetful):
            pass

        Handler.endpoint = endpoint
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        for name, value in {**AWS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}.items():
            monkeypatch.setenv(name, value)
        yield Handler
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("unknown", [0, 2])
def test_an_image_that_aws_does_not_know_yet(forgetful: type[Forgetful], tmp_path: Path, unknown: int) -> None:
    ec2 = boto3.client("ec2")
    base = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=base, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    ec2.stop_instances(InstanceIds=[instance])
    forgetful.unknown, forgetful.asked = unknown, 0
    variables = {
        "ami_instance_id": instance,
        "ami_content_hash": "0123456789abcdef",
        "answer": str(tmp_path / "id"),
        "ansible_python_interpreter": sys.executable,
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAYBOOK)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", playbook,
         "-e", json.dumps(variables)],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert forgetful.unknown == 0
    assert forgetful.asked > unknown
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    assert image["ImageId"] == (tmp_path / "id").read_text()
    assert {"Key": "ContentHash", "Value": "0123456789abcdef"} in image["Tags"]
