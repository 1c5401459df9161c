"""nginx with another port and other sizes."""

import json


def status(host, path, *options):
    curl = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", *options)
    return host.check_output(" ".join(["%s"] * (len(curl) + 1)), *curl, f"http://127.0.0.1:8080{path}")


def test_it_listens_on_that_port_only(host):
    assert host.socket("tcp://0.0.0.0:8080").is_listening
    assert not host.socket("tcp://0.0.0.0:80").is_listening


def test_a_larger_body_is_refused(host):
    assert status(host, "/", "--data", "x" * 1025) == "413"
    assert status(host, "/", "--data", "x" * 1024) == "503", "passed on, to a uWSGI that is not there"


def test_static_files_of_that_application_are_served(host):
    host.check_output("install -D /etc/hostname /opt/web2py/applications/shop/static/file.txt")
    assert status(host, "/static/file.txt") == "200"
    assert status(host, "/shop/static/_1.2.3/file.txt") == "200"
    assert status(host, "/shop/static/none.txt") == "404"


def test_each_request_is_a_line_of_json(host):
    assert status(host, "/static/logged", "--header", "X-Amzn-Trace-Id: Root=1-2") == "404"
    logged = "for i in $(seq 50); do grep /static/logged /var/log/nginx/access.log && exit 0; sleep 0.1; done; exit 1"
    line = json.loads(host.check_output(logged).splitlines()[0])
    assert (line["status"], line["trace_id"]) == (404, "Root=1-2")
