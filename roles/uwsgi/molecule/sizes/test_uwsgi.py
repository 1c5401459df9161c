"""uWSGI with other sizes."""


def test_one_process_for_each_core(host):
    master = host.service("uwsgi-web2py").systemd_properties["MainPID"]
    assert len(host.check_output("pgrep --parent %s", master).split()) == int(host.check_output("nproc"))


def test_a_process_may_take_its_part_of_half_the_memory(host):
    total = int(host.check_output("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
    limit = total * 50 // 100 // 1024 // int(host.check_output("nproc"))
    assert host.file("/run/other/size").content_string.strip() == f"PROCESS_MIB={limit}"


def test_sockets_are_where_they_are_wanted(host):
    assert host.file("/run/other/web2py.sock").is_socket
    assert host.file("/run/other/health.sock").is_socket
    assert not host.file("/run/uwsgi").exists


def test_nothing_is_changed_in_web2py(host):
    assert "web2py_patches.apply([])" in host.file("/opt/web2py/uwsgi_handler.py").content_string
