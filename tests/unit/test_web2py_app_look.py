"""What is said of an application before anything is made for it."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from programs import as_module

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "plugins/modules/web2py_app_look.py"
AUTH = 'auth = Auth(db, host_names=configuration.get("host.names"))\n'
CONFIGURED = 'db = DAL(configuration.get("db.uri"), pool_size=1)\n'


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return as_module(PROGRAM, monkeypatch)


@pytest.fixture
def application(tmp_path: Path, look: ModuleType) -> Callable[..., Any]:
    """An application of these files: path -> content."""

    def make(**files: str) -> Any:
        for name, content in {"controllers__default": "def index(): return dict()\n", **files}.items():
            path = tmp_path / (name.replace("__", "/") + ("" if "." in name or "crontab" in name else ".py"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return look.Application(tmp_path)

    return make


def test_own_application_has_nothing_to_be_said(look: ModuleType) -> None:
    application = look.Application(ROOT / "files/web2py_app")
    assert list(look.errors(application)) == []
    assert [notice for notice in look.NOTICES if notice(application)] == []
    paths = look.smoke_paths(application)
    assert paths == ["/health", "/", "/date_time_only", "/date_time", "/latest_date_time"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"models__db": 'print "Python 2"\n'}, "models/db.py, line 1: Missing parentheses"),
        ({"models__db": "try:\n    a()\nexcept A, e:\n    pass\n"}, "models/db.py, line 3"),
        ({"controllers__shop": "def index(:\n"}, "controllers/shop.py, line 1"),
        (
            {"models__db": 'db = DAL("sqlite://storage.sqlite")\n'},
            "models/db.py keeps its data in sqlite://storage.sqlite",
        ),
        ({"models__db": "db = DAL()\n"}, "sqlite://dummy.db"),
        ({"private__appconfig.ini": "name = shop\n"}, "private/appconfig.ini can't be read: File contains no section"),
        ({"private__appconfig.ini": "[a]\nb = 1\nB = 2\n"}, "option 'b' in section 'a' already exists"),
        ({"models__db": 'db = DAL(uri="sqlite://a.db", pool_size=1)\n'}, "sqlite://a.db"),
        (
            {"models__a": CONFIGURED, "models__b": 'if local:\n    db = DAL("sqlite://a.db")\nelse:\n    db = DAL()\n'},
            "models/b.py connects db to sqlite://a.db",
        ),
        ({"private__appconfig.json": "{}"}, "private/appconfig.json would no longer be read"),
    ],
)
def test_what_cannot_work_is_an_error(
    look: ModuleType, application: Callable[..., Any], files: dict[str, str], said: str
) -> None:
    (error,) = look.errors(application(**files))
    assert said in error


@pytest.mark.parametrize(
    "files",
    [
        {"models__db": CONFIGURED},
        {"models__db": "if on_gae:\n    db = DAL('firestore')\nelse:\n    " + CONFIGURED},
        {"models__db": 'db = DAL("sqlite:memory:")\n' + CONFIGURED},
        {"models__a": CONFIGURED, "models__b": "if other:\n    db = DAL('sqlite://a.db')\nelse:\n    " + CONFIGURED},
        {"models__a": CONFIGURED, "models__b": "other = DAL('sqlite://a.db')\n"},
        {"models__a": "db = DAL('sqlite://a.db')\n", "models__b": CONFIGURED},
        {"models__db": "# -*- coding: latin-1 -*-\n" + CONFIGURED},
        {"private__appconfig.json": "{}", "private__appconfig.ini": "[app]\n"},
        # Newer than the oldest Python that this may run with.
        {"models__db": 'name = f"{"a"}"\n' + CONFIGURED},
        {"controllers__shop": "type Price = int\n"},
        # Not deployed.
        {"controllers__appadmin": "try:\n    a()\nexcept A, e:\n    pass\n"},
    ],
)
def test_what_can_work_is_no_error(look: ModuleType, application: Callable[..., Any], files: dict[str, str]) -> None:
    assert list(look.errors(application(**files))) == []


def test_what_is_not_looked_at_is_not_deployed(look: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = as_module(PROGRAM.with_name("web2py_app_archive.py"), monkeypatch)
    assert look.NOT_DEPLOYED
    assert look.NOT_DEPLOYED <= archive.IGNORED_FILES


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"modules__old": "print 1\n"}, "modules/old.py can't be imported"),
        (
            {"models__db": CONFIGURED + 'old = DAL("mysql://u:p@host/db")\n'},
            "models/db.py names a database in the source",
        ),
        ({"models__db": CONFIGURED + "auth = Auth(db)\n"}, "Auth without host_names"),
        (
            {"models__db": CONFIGURED + AUTH, "private__appconfig.ini": "[host]\nnames = localhost:*, *:*, *\n"},
            "private/appconfig.ini lets Auth be asked by every name",
        ),
        ({"cron__crontab": "# a comment\n\n0 1 * * * root *scripts/a.py\n"}, "cron/crontab has 1 jobs"),
        ({"models__db": CONFIGURED + "mail = auth.settings.mailer\n"}, "models/db.py may mail"),
        ({"modules__api": "import urllib.request\n"}, "modules/api.py may mail or ask others"),
        ({"modules__api": "from requests import get\n"}, "modules/api.py may mail or ask others"),
        (
            {"models__a": "from gluon.contrib.login_methods.oauth20_account import OAuthAccount\n"},
            "models/a.py may mail",
        ),
        ({"controllers__a": "def a(): return cache.disk('k', f)\n"}, "controllers/a.py uses cache.disk"),
        ({"controllers__a": "def a(): return auth.wiki()\n"}, "controllers/a.py uses auth.wiki()"),
        (
            {"models__db": CONFIGURED + "db.define_table('a', Field('b'), Field('createdOn', 'date'))\n"},
            "models/db.py has fields with capital letters, such as createdOn",
        ),
        ({"models__a": "key = cache.ram('key', make, None)\n"}, "models/a.py keeps something in cache.ram for good"),
        ({"models__a": "key = cache.ram('key', make, time_expire=None)\n"}, "models/a.py keeps something in cache.ram"),
        (
            {"controllers__a": "def a(): return open(os.path.join(request.folder, 'uploads', request.args(0)))\n"},
            "controllers/a.py looks for files in uploads/",
        ),
    ],
)
def test_what_is_different_is_said(
    look: ModuleType, application: Callable[..., Any], files: dict[str, str], said: str
) -> None:
    app = application(**files)
    assert list(look.errors(app)) == []
    (notice,) = (notice for each in look.NOTICES if (notice := each(app)))
    assert said in notice


@pytest.mark.parametrize(
    "files",
    [
        {"cron__crontab": "# nothing\n"},
        {"models__db": f"if gae:\n    db = DAL('google:datastore+ndb')\nelse:\n    {CONFIGURED}"},
        {"models__db": f"if gae:\n    db = DAL('firestore')\nelse:\n    {CONFIGURED}"},
        {"models__db": CONFIGURED + AUTH},
        {"models__db": CONFIGURED + AUTH, "private__appconfig.ini": "[host]\nnames = localhost:*, *.example.com\n"},
        {"models__db": CONFIGURED, "private__appconfig.ini": "[host]\nnames = *\n"},
        {"modules__a": "import requests_of_ours, urllib.parse\n"},
        {
            "models__db": CONFIGURED.replace("pool_size=1", "entity_quoting=False")
            + "db.define_table('a', Field('bC'))\n"
        },
        {"models__db": CONFIGURED + "db.define_table('A', Field('b'), Field('bC', rname='bc'))\n"},
        {"controllers__a": "form = SQLFORM.factory(Field('bC'))\n"},
        {"models__a": "def a(): return cache.ram('a', f, 60) + cache.ram('b', f) + cache.ram('c', f, time_expire=0)\n"},
        {"models__a": "Field('a', 'upload', uploadfolder=os.path.join(request.folder, 'uploads', 'a'))\n"},
    ],
)
def test_what_is_as_on_one_machine_is_not_said(
    look: ModuleType, application: Callable[..., Any], files: dict[str, str]
) -> None:
    app = application(**files)
    assert [notice for each in look.NOTICES if (notice := each(app))] == []


def test_deployment_has_a_say(look: ModuleType, application: Callable[..., Any]) -> None:
    app = application(
        modules__api="import requests\n",
        models__s="from gluon.scheduler import Scheduler\nScheduler(db)\n",
        models__u=AUTH,
        **{"private__appconfig.ini": "[host]\nnames = *\n"},
    )
    assert "may mail or ask others" in look.talkers(app)
    app.way_out = True
    assert look.talkers(app) == ""
    assert look.scheduler(app) == ""
    assert "by every name" in look.every_name(app)
    app.names_given = True
    assert look.every_name(app) == ""
    app.scheduler = "none"
    assert "models/s.py has a scheduler" in look.scheduler(app)


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ("[web2py]\nsmoke_paths = /, /shop\n", ["/", "/shop"]),
        ("[web2py]\nsmoke_paths =\n  /\n  /shop\n", ["/", "/shop"]),
        ("[app]\nname = a\n", []),
        (None, []),
    ],
)
def test_paths_that_an_application_names(
    look: ModuleType, application: Callable[..., Any], settings: str | None, paths: list[str]
) -> None:
    files = {"private__appconfig.ini": settings} if settings is not None else {}
    assert look.smoke_paths(application(**files)) == paths


@pytest.mark.parametrize(
    ("names", "own", "every"),
    [
        ("", [], False),
        ("localhost:*, 127.0.0.1:*, *:*, *", [], True),
        ("localhost, 127.0.0.1, [::1]:8000, 127.*", [], False),
        ("*.shop.example.com,\n    Shop.example.com", ["shop.example.com", "*.shop.example.com"], False),
        (
            "localhost-shop.example.com, shop.example.com:8000",
            ["localhost-shop.example.com", "shop.example.com:8000"],
            False,
        ),
        ("?*.*", [], True),
        ("*:8000", [], True),
        ("[!x]*", [], True),
    ],
)
def test_names_that_an_application_has_of_its_own(
    look: ModuleType, application: Callable[..., Any], names: str, own: list[str], every: bool
) -> None:
    app = application(models__db=AUTH, **{"private__appconfig.ini": f"[host]\nnames = {names}\n"})
    assert look.host_names(app) == own
    assert bool(look.every_name(app)) == every


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ("", ""),
        ("routers = dict(BASE=dict(default_application='welcome'))", ""),
        ("routers = {'BASE': {'default_application': 'shop'}, 'shop': {'default_controller': 'a'}}", "shop"),
        ("routes_in = (('/$anything', '/shop/$anything'), ('/old', '/blog/default/index'))", "blog, shop"),
        ("routes_in = [('/static/$a', '/welcome/static/$a'), ('/x', '/shop/default/x')]", ""),
        ("routes_out = [('/shop/$anything', '/$anything')]", "shop"),
        (
            "routes_onerror = [('*/404', '/shop/static/404.html')]\nprefix = '/x'\nroutes_in = [(a, b) for a, b in ()]",
            "",
        ),
    ],
)
def test_routes_of_an_application_with_another_name(
    look: ModuleType, application: Callable[..., Any], routes: str, said: str
) -> None:
    expected = f"routes.py speaks of {said}, and the application is called welcome here" if said else ""
    notice = look.routes(application(**{"routes.py": routes}))
    assert notice.startswith(expected)
    assert bool(notice) == bool(said)


def test_routes_that_are_no_python_are_an_error(look: ModuleType, application: Callable[..., Any]) -> None:
    (error,) = look.errors(application(**{"routes.py": "routers = {\n"}))
    assert "routes.py, line 1" in error
