"""Terraform's provider: from its registry where that answers, else from a directory that has it."""

import http.server
import threading

import pytest

from bootstrap import provider_mirror


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without a mirror, without a configuration and without a registry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    monkeypatch.delenv("TERRAFORM_PROVIDER_MIRROR", raising=False)
    monkeypatch.setattr(provider_mirror, "PLACES", (f"{tmp_path}/opt/*", "~/.terraform.d/plugins"))
    monkeypatch.setattr(provider_mirror, "DISCOVERY", "http://127.0.0.1:1/")
    return tmp_path


def make_mirror(path):
    (path / "registry.terraform.io/hashicorp/aws").mkdir(parents=True)
    return path


@pytest.fixture
def registry(monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(provider_mirror, "DISCOVERY", f"http://127.0.0.1:{server.server_port}/")
        yield
        server.shutdown()


def configuration():
    file = provider_mirror.CONFIGURATION
    return file.read_text() if file.exists() else None


@pytest.mark.parametrize("place", ["opt/anything", "home/.terraform.d/plugins"])
def test_mirror_is_found_and_named_once(machine, capsys, place):
    mirror = make_mirror(machine / place)
    (machine / "opt/another").mkdir(parents=True)
    provider_mirror.main()
    assert f'path    = "{mirror}"' in configuration()
    assert str(mirror) in capsys.readouterr().err
    provider_mirror.main()
    assert capsys.readouterr().err == "", "the second time there is nothing to say"


def test_registry_that_answers_is_used(machine, registry):
    make_mirror(machine / "opt/anything")
    provider_mirror.CONFIGURATION.parent.mkdir()
    provider_mirror.CONFIGURATION.write_text("of a time when it did not answer")
    provider_mirror.main()
    assert configuration() is None


def test_named_mirror_is_used_whatever_else_there_is(machine, monkeypatch, registry):
    make_mirror(machine / "opt/anything")
    monkeypatch.setenv("TERRAFORM_PROVIDER_MIRROR", str(make_mirror(machine / "mine")))
    provider_mirror.main()
    assert f'path    = "{machine / "mine"}"' in configuration()


@pytest.mark.parametrize("where", ["home", "named"])
def test_configuration_of_the_user_is_left_alone(machine, monkeypatch, where):
    make_mirror(machine / "opt/anything")
    file = machine / ("home/.terraformrc" if where == "home" else "elsewhere")
    file.parent.mkdir(exist_ok=True)
    file.write_text("# mine\n")
    if where == "named":
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(file))
    provider_mirror.main()
    assert configuration() is None
    assert file.read_text() == "# mine\n"


@pytest.mark.parametrize("named", ["not/there", str(provider_mirror.CONFIGURATION)])
def test_file_that_is_named_and_is_none_of_the_users(machine, monkeypatch, named):
    mirror = make_mirror(machine / "opt/anything")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", named)
    for _ in range(2):
        provider_mirror.main()
        assert str(mirror) in configuration()


def test_nothing_is_found(capsys):
    provider_mirror.main()
    assert configuration() is None
    assert "TERRAFORM_PROVIDER_MIRROR=" in capsys.readouterr().err
