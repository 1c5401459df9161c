"""An application that names no store for its sessions, which are its visitors' to keep."""

VISIT = "curl --silent --fail --cookie-jar {0} --cookie {0} http://127.0.0.1/visits"


def test_it_keeps_sessions_in_cookies(host):
    assert [host.check_output(VISIT.format("/tmp/jar")) for _ in range(2)] == ["1", "2"]
    assert host.check_output("find /var/lib/web2py/shop/sessions -type f") == ""


def test_a_cookie_that_was_changed_is_no_session(host):
    assert host.check_output(VISIT.format("/tmp/changed")) == "1"
    host.check_output("sed --in-place --regexp-extended 's/(session_data_shop.*).{8}$/\\1/' /tmp/changed")
    assert "session_data_shop" in host.file("/tmp/changed").content_string
    assert host.check_output(VISIT.format("/tmp/changed")) == "1"
