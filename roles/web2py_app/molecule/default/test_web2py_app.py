"""The project's application with the role's defaults."""

DIRECTORY = "/opt/web2py/applications/welcome"


def status(host, path):
    return host.check_output("curl --silent --output /dev/null --write-out '%%{http_code}' http://127.0.0.1%s", path)


def test_application_is_served(host):
    assert status(host, "/date_time_only") == "200"
    assert status(host, "/welcome/default/date_time_only") == "200"


def test_without_a_migration_there_is_no_table(host):
    assert status(host, "/date_time") == "503"


def test_release_is_roots_and_what_it_writes_is_elsewhere(host):
    release = host.file(DIRECTORY)
    assert release.is_symlink
    assert host.file(release.linked_to).user == "root"
    for name in ("sessions", "errors"):
        assert host.file(f"{DIRECTORY}/{name}").linked_to.startswith("/var/lib/web2py/")


def test_password_is_for_web2py_only(host):
    settings = host.file(f"{DIRECTORY}/private/appconfig.ini")
    assert (settings.user, settings.group, settings.mode) == ("root", "www-data", 0o640)
    assert "only-in-a-container" in settings.content_string


def test_host_says_at_each_boot_whether_it_is_ready(host):
    assert host.service("web2py-ready").is_enabled
    assert not host.file("/run/web2py-ready/ready").exists, "a smoke path needs the table"
