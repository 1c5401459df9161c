"""web2py from a local copy, in another directory."""


def test_framework_is_there(host):
    assert host.file("/srv/web2py/gluon/main.py").is_file
    assert not host.file("/opt/web2py").exists
