"""The image that sends load from another machine: built, and used with both tools."""

import io
import json
import tarfile
from pathlib import Path

import docker
import pytest
import yaml

from localcloud import base_images

LOADTEST = Path(__file__).resolve().parents[2] / "loadtest"


@pytest.fixture(scope="module")
def run():
    """Run the image with a directory of results and the host's network; returns exit code and what it said."""
    client = docker.from_env(timeout=1800)
    # debian:13 is there after that.
    base_images.build_missing()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        archive.add(LOADTEST, ".", filter=lambda entry: None if "__pycache__" in entry.name else entry)
        for certificate in base_images.EXTRA_CA_CERTIFICATES.glob("*.crt"):
            archive.add(certificate, f"extra-ca-certificates/{certificate.name}")
    context.seek(0)
    # Kept, as the base images are: the next run finds its layers.
    image, _ = client.images.build(fileobj=context, custom_context=True, rm=True, forcerm=True, tag="loadtest:test")

    def runner(directory, *words):
        container = client.containers.run(
            image.id, list(words), detach=True, network_mode="host", volumes={str(directory): {"bind": "/results"}}
        )
        try:
            code = container.wait(timeout=240)["StatusCode"]
            return code, container.logs().decode()
        finally:
            container.remove(force=True)

    return runner


@pytest.mark.parametrize(
    "load",
    [
        {"rate": 50, "duration": "2s"},
        {"tool": "ab", "steps": [{"requests": 100, "concurrency": 5}]},
    ],
    ids=["open_loop", "ab"],
)
def test_load_from_a_container_is_judged_there(run, server, tmp_path, load):
    server.behave["/"] = lambda number: (0, 500 if number % 10 == 0 else 200)
    scenario = {"description": "From elsewhere", "slo": {"success_percent": 95}} | load
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(scenario))
    words = ["run", "/results/mine.yml", "--outside-environment", "--url", server.url, "--path", "/"]
    code, said = run(tmp_path, *words, "--results", "/results")
    assert code == 1, said
    assert "MISSED answers that succeeded: 90 %" in said
    (result,) = tmp_path.glob("*-mine/result.json")
    total = json.loads(result.read_text())["total"]
    assert (total["requests"], total["succeeded"], server.asked["/"]) == (100, 90, 100)
    assert result.with_name("report.html").exists()
