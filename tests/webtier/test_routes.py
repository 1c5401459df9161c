"""An application's own routes.py: addresses, pages for errors, domains."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from web_host import PROBE, Web

from benchmarks.lab import Lab

PATTERNS = """
routes_in = (
    ("/", "/welcome/default/echo"),
    ("/health", "/welcome/default/health"),
    ("/shop/$anything", "/welcome/other/$anything"),
    ("/old/$a", "/welcome/default/echo/$a"),
    ("/gone", "301->http://example.com/new"),
)
routes_out = (("/welcome/other/$anything", "/shop/$anything"), ("/welcome/default/index/$a", "/hello/$a"))
routes_onerror = (
    ("welcome/404", "/welcome/static/missing.html"),
    ("welcome/500", "/welcome/default/echo/sorry"),
)
"""
ROUTERS = """
routers = dict(
    BASE=dict(default_application="init", domains={"shop.example.com": "welcome/other", "www.example.com": "welcome"}),
    welcome=dict(default_function="echo", functions={"default": ["echo", "health", "missing", "index"]}),
)
routes_onerror = [("*/404", "/welcome/static/missing.html")]
"""


@pytest.fixture
def with_routes(host: Web, tmp_path: Path) -> Callable[[str], Lab]:
    """The host with probe_app and a routes.py."""

    def become(routes: str) -> Lab:
        source = tmp_path / "application"
        shutil.copytree(Path(str(PROBE["web2py_app_source"])), source)
        (source / "static/missing.html").write_text("Nothing of that name\n")
        (source / "routes.py").write_text(routes)
        return host.become(**{**PROBE, "web2py_app_source": str(source), "web2py_app_smoke_paths": ["/health"]})

    return become


def test_patterns_and_pages_for_errors(with_routes: Callable[[str], Lab]) -> None:
    web = with_routes(PATTERNS)

    def echoed(path: str) -> list[object]:
        answer = requests.get(web.url + path, timeout=30)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        return [said["controller"], said["function"], said["args"], said["url"]]

    # URL() of index in the same controller, by routes_out.
    assert echoed("/") == ["default", "echo", [], "/welcome/default/index"]
    assert echoed("/old/ada?a=1") == ["default", "echo", ["ada"], "/hello/ada?a=1"]
    assert echoed("/welcome/default/echo/x") == ["default", "echo", ["x"], "/hello/x"]
    moved = requests.get(f"{web.url}/gone", timeout=30, allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"]) == (301, "http://example.com/new")
    for missing in ("/welcome/default/missing", "/welcome/nothing/at/all"):
        answer = requests.get(web.url + missing, timeout=30)
        assert (answer.status_code, answer.text) == (404, "Nothing of that name\n"), missing
    assert requests.get(f"{web.url}/welcome/static/file.txt", timeout=30).status_code == 200

    answer = requests.get(f"{web.url}/welcome/default/fails", timeout=30)
    assert answer.status_code == 500
    said = answer.json()
    assert (said["args"], said["get"]["code"]) == (["sorry"], "500")
    assert said["get"]["ticket"].startswith("welcome/")
    assert said["get"]["requested_uri"] == "/welcome/default/fails"


def test_routers_with_domains(with_routes: Callable[[str], Lab]) -> None:
    web = with_routes(ROUTERS)

    def echoed(path: str, host: str) -> list[str]:
        said = requests.get(web.url + path, headers={"Host": host}, timeout=30).json()
        return [said["controller"], said["function"], *said["args"]]

    assert echoed("/", "www.example.com") == ["default", "echo"]
    assert echoed("/ada", "www.example.com") == ["default", "echo", "ada"]
    assert requests.get(f"{web.url}/index", headers={"Host": "shop.example.com"}, timeout=30).text.startswith(
        "other, and"
    )
    answer = requests.get(f"{web.url}/none/at/all", headers={"Host": "www.example.com"}, timeout=30)
    assert answer.status_code == 200  # arguments of the default function
    answer = requests.get(f"{web.url}/default/missing", headers={"Host": "www.example.com"}, timeout=30)
    assert (answer.status_code, answer.text) == (404, "Nothing of that name\n")
