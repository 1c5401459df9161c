"""web2py with the role's defaults."""

import pytest

HOME = "/opt/web2py"


@pytest.mark.parametrize("path", ["gluon/main.py", "wsgihandler.py", "web2py_patches.py", "applications/__init__.py"])
def test_framework_is_there_and_roots(host, path):
    file = host.file(f"{HOME}/{path}")
    assert file.is_file
    assert (file.user, file.group) == ("root", "root")


def test_none_of_web2pys_own_applications_is_there(host):
    assert host.file(f"{HOME}/applications").listdir() == ["__init__.py"]


def test_whoever_serves_requests_may_not_write_to_it(host):
    assert host.run(f"find {HOME} -user www-data -o -perm -o+w ! -type l").stdout == ""


def test_python_environment_has_what_web2py_imports(host):
    run = host.run("cd %s && /opt/web2py-venv/bin/python -c 'import gluon.main, pydal, psycopg2'", HOME)
    assert run.rc == 0, run.stderr
