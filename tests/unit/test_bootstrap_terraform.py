"""Terraform is taken from the PATH where it will do, and else downloaded and verified."""

import hashlib
import http.server
import json
import stat
import threading
import zipfile

import pytest

from bootstrap import terraform


def stub(directory, version):
    """Put a `terraform` that answers with a version into a directory."""
    file = directory / "terraform"
    file.write_text(f"#!/bin/sh\necho '{json.dumps({'terraform_version': version})}'\n")
    file.chmod(0o755)


@pytest.fixture
def path(tmp_path, monkeypatch):
    directory = tmp_path / "path"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return directory


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror laid out as releases.hashicorp.com/terraform is; its zip file is the pinned one."""
    archive = tmp_path / "mirror" / terraform.VERSION / f"terraform_{terraform.VERSION}_{terraform.platform_name()}.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as contents:
        contents.writestr("terraform", "#!/bin/sh\necho hello\n")
        contents.writestr("LICENSE.txt", "")
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(terraform, "SHA256", {terraform.platform_name(): checksum})
    monkeypatch.setenv("TERRAFORM_DOWNLOAD_URL", (tmp_path / "mirror").as_uri())
    return archive


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("1.11.0", True),
        ("1.11.4", True),
        ("1.15.0-beta1", True),
        ("1.10.5", False),
        ("0.15.0", False),
        ("2.0.0", False),
    ],
)
def test_version_on_the_path(path, version, good):
    stub(path, version)
    assert terraform.suitable(terraform.installed_version()) is good


def test_none_on_the_path():
    assert terraform.installed_version("no-such-terraform") is None


def test_something_else_on_the_path(path):
    (path / "terraform").write_text("#!/bin/sh\necho no json\n")
    (path / "terraform").chmod(0o755)
    assert terraform.installed_version() is None


def test_a_suitable_one_is_kept(path, mirror, tmp_path, monkeypatch):
    stub(path, "1.12.0")
    monkeypatch.setattr(terraform, "DIRECTORY", tmp_path)
    terraform.main()
    assert not (tmp_path / "terraform").exists()


def test_download_from_a_directory(path, mirror, tmp_path, monkeypatch):
    stub(path, "1.5.7")
    monkeypatch.setattr(terraform, "DIRECTORY", tmp_path)
    terraform.main()
    assert (tmp_path / "terraform").read_text() == "#!/bin/sh\necho hello\n"
    assert (tmp_path / "terraform").stat().st_mode & stat.S_IXUSR


def test_download_over_http(mirror, tmp_path, monkeypatch):
    def handler(*arguments):
        return http.server.SimpleHTTPRequestHandler(*arguments, directory=str(tmp_path / "mirror"))

    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("TERRAFORM_DOWNLOAD_URL", f"http://127.0.0.1:{server.server_port}/")
        terraform.download(tmp_path)
        server.shutdown()
    assert (tmp_path / "terraform").exists()


def test_another_file_is_refused(mirror, tmp_path):
    mirror.write_bytes(b"<html>Please log in</html>")
    with pytest.raises(SystemExit, match="not the pinned one") as error:
        terraform.download(tmp_path)
    assert not (tmp_path / "terraform").exists()
    assert "Look at:" in str(error.value)
    assert "Type:" in str(error.value)


def test_an_unreachable_mirror_says_how_to_name_another(mirror, tmp_path):
    mirror.unlink()
    with pytest.raises(SystemExit, match="could not be downloaded") as error:
        terraform.download(tmp_path)
    assert "TERRAFORM_DOWNLOAD_URL=" in str(error.value)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("tmp")] == []


def test_an_unknown_platform_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(terraform, "platform_name", lambda: "plan9_mips")
    with pytest.raises(SystemExit, match="plan9_mips"):
        terraform.download(tmp_path)


def test_pinned_checksums_are_checksums():
    assert terraform.SHA256.keys() == {"linux_amd64", "linux_arm64"}
    assert all(len(checksum) == 64 and int(checksum, 16) for checksum in terraform.SHA256.values())
