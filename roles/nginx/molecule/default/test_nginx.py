"""nginx with the role's defaults, in front of no uWSGI."""


def test_service_runs_and_starts_at_boot(host):
    nginx = host.service("nginx")
    assert nginx.is_running
    assert nginx.is_enabled


def test_it_listens_on_all_addresses(host):
    assert host.socket("tcp://0.0.0.0:80").is_listening


def test_configuration_is_valid_and_roots(host):
    file = host.file("/etc/nginx/nginx.conf")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    assert host.run("nginx -t").rc == 0
