"""An application of somebody's own."""


def get(host, path):
    return host.check_output("curl --silent --fail http://127.0.0.1%s", path)


def test_it_is_the_default_application(host):
    assert "nobody" in get(host, "/")
    assert get(host, "/health") == get(host, "/shop/default/health") == "ok"


def test_its_static_files_are_served(host):
    file = host.file("/opt/web2py/applications/shop/static/file.txt")
    assert get(host, "/static/file.txt") == file.content_string.strip()


def test_it_keeps_sessions(host):
    jar = "/tmp/jar"
    visit = "curl --silent --fail --cookie-jar %s --cookie %s http://127.0.0.1/visits"
    assert [host.check_output(visit, jar, jar) for _ in range(2)] == ["1", "2"]


def test_it_is_ready(host):
    assert host.run("/usr/local/sbin/web2py-ready --within 7 http://127.0.0.1 /health").rc == 0


def test_auth_may_be_asked_by_its_names(host):
    settings = host.file("/opt/web2py/applications/shop/private/appconfig.ini").content_string
    assert "[host]\nnames = probe.example.com, *.probe.example.com, shop.example.com, 127.0.0.1\n" in settings
