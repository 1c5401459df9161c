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


def test_logs_do_not_fill_the_disk(host):
    assert host.service("logrotate.timer").is_enabled
    assert host.service("logrotate.timer").is_running
    timer = host.run("systemctl show logrotate.timer --property TimersCalendar").stdout
    assert timer.count("OnCalendar") == 1
    assert "*-*-* *:00:00" in timer
    log = "/var/log/nginx/error.log"
    assert host.run(f"truncate --size 60M {log} && systemctl start logrotate.service").rc == 0
    assert host.file(f"{log}.1").size == 60 << 20
    # nginx writes into the new one.
    assert host.run("nginx -s reload 2>&1; kill -0 $(cat /run/nginx.pid)").rc == 0
    assert host.file(log).size < 1 << 20
    assert host.file(log).user == "www-data"
    files = host.run("ls -l /proc/$(cat /run/nginx.pid)/fd").stdout
    assert f"-> {log}\n" in files
    assert f"{log}.1" not in files
