"""A host that can be cloned: nothing of this one is left, and what serves starts at the next boot."""

import pytest


@pytest.mark.parametrize(
    "path",
    [
        "/etc/pip.conf",
        "/root/.netrc",
        "/etc/ssh/ssh_host_*",
        "/root/.bash_history",
        "/root/.ssh/authorized_keys",
        "/var/lib/apt/lists/*",
        "/var/lib/web2py/welcome/errors/*",
        "/var/log/nginx/error.log.1",
        "/var/tmp/left",
    ],
)
def test_it_is_gone(host, path):
    assert host.run(f"ls -d {path}").rc != 0


def test_a_clone_makes_an_identity_of_its_own(host):
    assert host.file("/etc/machine-id").size == 0


def test_logs_are_empty(host):
    assert host.check_output("find /var/log/nginx -type f -size +0") == ""


def test_what_the_next_boot_needs_is_there(host):
    for service in ("nginx", "uwsgi-web2py", "web2py-ready"):
        assert host.service(service).is_enabled
    for path in ("/opt/web2py/applications/welcome", "/var/lib/web2py/welcome/errors", "/var/log/nginx"):
        assert host.file(path).is_directory
