"""uWSGI with the role's defaults, and no application."""

SOCKETS = ("/run/uwsgi/web2py.sock", "/run/uwsgi/health.sock")


def workers(host):
    master = host.service("uwsgi-web2py").systemd_properties["MainPID"]
    return host.check_output("pgrep --parent %s", master).split()


def test_service_runs_and_starts_at_boot(host):
    service = host.service("uwsgi-web2py")
    assert service.is_running
    assert service.is_enabled


def test_two_processes_for_each_core(host):
    assert len(workers(host)) == 2 * int(host.check_output("nproc"))


def test_nginx_goes_first(host):
    for worker in workers(host):
        assert int(host.check_output("ps --no-headers -o ni --pid %s", worker)) == 5


def test_sockets_are_for_nginx_only(host):
    for path in SOCKETS:
        socket = host.file(path)
        assert socket.is_socket
        assert (socket.user, socket.mode) == ("www-data", 0o660)


def test_compiler_is_gone_again(host):
    assert not host.package("gcc").is_installed
    assert not host.package("python3-dev").is_installed


def test_a_killed_process_is_replaced(host):
    before = workers(host)
    host.check_output("kill -9 %s", before[0])
    replaced = "for i in $(seq 50); do [ $(pgrep --parent %s | wc -l) = %s ] && exit 0; sleep 0.1; done; exit 1"
    assert host.run(replaced, host.service("uwsgi-web2py").systemd_properties["MainPID"], str(len(before))).rc == 0
