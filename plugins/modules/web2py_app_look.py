#!/usr/bin/python
"""Ansible module: look at a web2py application's source, and say what a fleet does otherwise than one machine."""

from __future__ import annotations

import ast
import configparser
import fnmatch
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: web2py_app_look
short_description: Look at a web2py application's source
description:
  - Reads the application and runs none of it.
  - Fails for what can't work on any host, so that it is said before one is made.
options:
  src: {description: Directory of the application., type: path, required: true}
  name: {description: What it is called on the hosts., type: str, required: true}
  way_out: {description: Whether instances reach the internet., type: bool, required: true}
  scheduler: {description: "Which hosts run the scheduler: one, all or none.", type: str, required: true}
  names_given: {description: "Whether the deployment sets C([host] names) itself.", type: bool, required: true}
"""
RETURN = r"""
notices:
  description: What is different on a fleet, a sentence each.
  type: list
  elements: str
  returned: always
smoke_paths:
  description: Paths that the application says it is to be checked by, under C([web2py]) in C(private/appconfig.ini).
  type: list
  elements: str
  returned: always
host_names:
  description:
    - Names, or patterns of names, by which the application is asked, under C([host]) there. Patterns come last.
    - Those of any host (C(localhost)) and those that let every name pass (C(*)) are left out.
  type: list
  elements: str
  returned: always
"""

# What is imported to talk to others, without the database's own driver.
TALKERS = (
    "requests",
    "httpx",
    "aiohttp",
    "urllib.request",
    "urllib3",
    "http.client",
    "smtplib",
    "boto3",
    "ldap",
    "oauth2",
)
TALKERS += (
    "gluon.contrib.login_methods",
    "gluon.contrib.stripe",
    "gluon.contrib.AuthorizeNet",
    "gluon.contrib.sms_utils",
)
# Syntax that is newer than the Python of this machine may be: hosts have a newer one.
NEWER_SYNTAX = re.compile(r"""[fF][rR]?["']|^\s*(type\s+\w+|(async\s+)?def\s+\w+\s*\[|class\s+\w+\s*\[)""")
PYTHON_OF_HOSTS = (3, 13)
# web2py_app_archive leaves them out, so those of an older web2py, in Python 2, do no harm.
NOT_DEPLOYED = {"controllers/appadmin.py", "models/appadmin.py"}
# What web2py's scaffolding connects to on Google's App Engine, and what holds nothing.
ELSEWHERE = re.compile(r"^(firestore|gae|google:)|memory")
# Names by which any host may ask itself.
HOSTS_OWN = re.compile(r"(localhost|127\.[\d.*]+|\[?::1\]?)(:|$)")


class Application:
    """The sources below `root`: path -> its syntax tree, and path -> the error of those that have none.
    Its settings, and what keeps web2py from reading them. And what its deployment says of it."""

    def __init__(
        self,
        root: Path,
        way_out: bool = False,
        scheduler: str = "one",
        name: str = "welcome",
        names_given: bool = False,
    ) -> None:
        self.root, self.way_out, self.scheduler, self.name = root, way_out, scheduler, name
        self.names_given = names_given
        self.trees: dict[str, ast.Module] = {}
        self.broken: dict[str, str] = {}
        for pattern in ("models/**/*.py", "controllers/*.py", "modules/**/*.py", "routes.py"):
            for path in sorted(root.glob(pattern)):
                name = path.relative_to(root).as_posix()
                if name not in NOT_DEPLOYED:
                    self._parse(path, name)
        self.settings = configparser.RawConfigParser()
        self.settings_error = self._read_settings()

    def _read_settings(self) -> str:
        """web2py refuses the file as a whole, and the address of the database goes into it."""
        try:
            self.settings.read(self.root / "private/appconfig.ini", encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            return f"private/appconfig.ini can't be read: {' '.join(str(error).split())}"
        return ""

    def listed(self, section: str, option: str) -> list[str]:
        """The words of a setting."""
        return [word for word in re.split(r"[\s,]+", self.settings.get(section, option, fallback="")) if word]

    def _parse(self, path: Path, name: str) -> None:
        try:
            with tokenize.open(path) as stream:
                self.trees[name] = ast.parse(stream.read(), name)
        except SyntaxError as error:
            newer = sys.version_info < PYTHON_OF_HOSTS and NEWER_SYNTAX.search(error.text or "")
            if not newer:
                self.broken[name] = f"line {error.lineno}: {error.msg}"
        except (UnicodeDecodeError, ValueError) as error:
            self.broken[name] = str(error)

    def calls(self, below: str = "") -> Iterator[tuple[str, str, ast.Call]]:
        """(path, name, call) of each call in files whose path begins so; `a.b.c()` has the name `a.b.c`."""
        for path, tree in self.trees.items():
            if path.startswith(below):
                for node in ast.walk(tree):
                    if isinstance(node, ast.Call):
                        yield path, dotted(node.func), node

    def imports(self) -> Iterator[tuple[str, str]]:
        """(path, module) of each import; `from a import b` is of `a` and of `a.b`."""
        for path, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    yield from ((path, alias.name) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield path, node.module
                    yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node: ast.expr) -> str:
    """A name or attribute as it is written; what it is an attribute of may be missing."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def stores(application: Application) -> list[tuple[str, str | None]]:
    """(path, address) of each database that the models connect to; None: the address is not in the source."""
    calls = application.calls("models/")
    return [(path, address_of(call)) for path, name, call in calls if name.split(".")[-1] == "DAL"]


def address_of(call: ast.Call) -> str | None:
    address = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "uri"), None)
    literal = address.value if isinstance(address, ast.Constant) else None
    return literal if isinstance(literal, str) else None if address else "sqlite://dummy.db"


def replaced_stores(application: Application) -> Iterator[tuple[str, str, str]]:
    """(path, name, address) of each variable that a model connects to a database, and a later one to SQLite only."""
    connections: dict[str, dict[str, list[str | None]]] = {}  # variable -> path, in the order that web2py runs them
    for path, tree in application.trees.items():
        for node in ast.walk(tree) if path.startswith("models/") else ():
            call = node.value if isinstance(node, ast.Assign) else None
            if isinstance(call, ast.Call) and dotted(call.func).split(".")[-1] == "DAL":
                for name in filter(None, map(dotted, node.targets)):
                    connections.setdefault(name, {}).setdefault(path, []).append(address_of(call))
    for name, paths in connections.items():
        path, addresses = list(paths.items())[-1]
        if len(paths) > 1 and all(map(is_sqlite, addresses)):
            yield path, name, str(addresses[0])


def errors(application: Application) -> Iterator[str]:
    """What can't work, a sentence each."""
    for path, error in application.broken.items():
        if not path.startswith("modules/"):
            yield f"{path}, {error}. Hosts have Python {'.'.join(map(str, PYTHON_OF_HOSTS))}."
    found = stores(application)
    if found and all(is_sqlite(address) for _, address in found):
        path, address = found[0]
        yield (
            f"{path} keeps its data in {address}, a file that each instance would have for itself. Let it say "
            'DAL(configuration.get("db.uri"), ...) with configuration = AppConfig(): deployment writes [db] into '
            "private/appconfig.ini."
        )
    elif replaced := next(replaced_stores(application), None):
        path, name, address = replaced
        yield (
            f"{path} connects {name} to {address}, a file that each instance would have for itself, after an earlier "
            f"model has connected it to another database. Leave {name} as it is there."
        )
    private = application.root / "private"
    if (private / "appconfig.json").exists() and not (private / "appconfig.ini").exists():
        yield (
            "private/appconfig.json would no longer be read: deployment writes private/appconfig.ini, which web2py "
            "prefers. Write the same as private/appconfig.ini."
        )
    if application.settings_error:
        yield application.settings_error


def is_sqlite(address: str | None) -> bool:
    return address is not None and address.startswith(("sqlite:", "spatialite:")) and ":memory" not in address


def files_with(found: Iterator[str]) -> str:
    return ", ".join(sorted(set(found)))


def broken_modules(application: Application) -> str:
    """Not refused: perhaps nothing imports them."""
    files = files_with(path for path in application.broken if path.startswith("modules/"))
    return files and f"{files} can't be imported: no valid Python 3."


def other_stores(application: Application) -> str:
    found = (path for path, address in stores(application) if address and not ELSEWHERE.search(address))
    files = files_with(found)
    return (
        files and f'{files} names a database in the source. The one of this deployment is configuration.get("db.uri").'
    )


def cron(application: Application) -> str:
    crontab = application.root / "cron/crontab"
    lines = crontab.read_text(errors="replace").splitlines() if crontab.is_file() else []
    jobs = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return (
        f"cron/crontab has {len(jobs)} jobs, and nothing runs them, as each instance would: let gluon.scheduler do it."
        if jobs
        else ""
    )


def scheduler(application: Application) -> str:
    if application.scheduler != "none":
        return ""
    files = files_with(path for path, name, _ in application.calls() if name.split(".")[-1] == "Scheduler")
    return files and f"{files} has a scheduler, and nothing runs its tasks: web2py_app_scheduler is none."


def talkers(application: Application) -> str:
    if application.way_out:
        return ""
    files = {path for path, module in application.imports() if f"{module}.".startswith(tuple(f"{t}." for t in TALKERS))}
    files |= {path for path, name, _ in application.calls() if name.split(".")[-1] in ("Mail", "fetch", "send_mail")}
    files |= {
        path
        for path, tree in application.trees.items()
        if any(isinstance(node, ast.Attribute) and node.attr == "mailer" for node in ast.walk(tree))
    }
    names = files_with(iter(files))
    return (
        names
        and f"{names} may mail or ask others, and instances have no way out: private_subnet_egress: nat makes one."
    )


def disk_cache(application: Application) -> str:
    files = files_with(path for path, name, _ in application.calls() if name == "cache.disk")
    return files and f"{files} uses cache.disk, which each instance has for itself and loses."


def kept_in_a_process(application: Application) -> str:
    def is_for_good(call: ast.Call) -> bool:
        until = (
            call.args[2]
            if len(call.args) > 2
            else next((k.value for k in call.keywords if k.arg == "time_expire"), ast.Constant(0))
        )
        return isinstance(until, ast.Constant) and until.value is None

    files = files_with(path for path, name, call in application.calls() if name == "cache.ram" and is_for_good(call))
    return files and f"{files} keeps something in cache.ram for good, and each process of each instance has its own."


def opened_uploads(application: Application) -> str:
    """What has a place of its own for uploads may well go there."""

    def paths() -> Iterator[str]:
        folders = {
            id(node)
            for _, name, call in application.calls()
            for keyword in call.keywords
            if keyword.arg == "uploadfolder"
            for node in ast.walk(keyword.value)
        }
        for path, name, call in application.calls():
            parts = [part.value for part in call.args if isinstance(part, ast.Constant)]
            if name.endswith("path.join") and id(call) not in folders and "uploads" in parts:
                yield path

    files = files_with(paths())
    return files and f"{files} looks for files in uploads/, and there are none: field.retrieve(name) opens an upload."


def wiki(application: Application) -> str:
    files = files_with(path for path, name, _ in application.calls("controllers/") if name == "auth.wiki")
    return files and f"{files} uses auth.wiki(), whose tables no migration makes: call it in a model, too."


def capital_letters(application: Application) -> str:
    """pydal makes a column in lower case and then asks for the other: github.com/web2py/pydal/issues/491."""
    options = {
        keyword.arg
        for _, name, call in application.calls("models/")
        if name.split(".")[-1] == "DAL"
        for keyword in call.keywords
        if isinstance(keyword.value, ast.Constant) and keyword.value.value is False
    }
    if options & {"entity_quoting", "ignore_field_case"}:
        return ""
    files, names = set(), []
    for path, name, table in application.calls("models/"):
        if name.split(".")[-1] == "define_table":
            for field in table.args:
                if isinstance(field, ast.Call) and field.args and dotted(field.func).split(".")[-1] == "Field":
                    called = field.args[0].value if isinstance(field.args[0], ast.Constant) else ""
                    own_column = any(keyword.arg == "rname" for keyword in field.keywords)
                    if isinstance(called, str) and called != called.lower() and not own_column:
                        files.add(path)
                        names.append(called)
    return files_with(iter(files)) and (
        f"{files_with(iter(files))} has fields with capital letters, such as {names[0]}, which pydal doesn't find in "
        "PostgreSQL: DAL(..., entity_quoting=False)."
    )


def mails_of_auth(application: Application) -> str:
    """Auth makes its links, those to a forgotten password among them, for hosts that it was told only."""
    files = files_with(
        path
        for path, name, call in application.calls("models/")
        if name == "Auth" and not any(keyword.arg in ("host_names", None) for keyword in call.keywords)
    )
    return (
        files
        and f'{files} makes Auth without host_names=configuration.get("host.names"): its mails with links are refused.'
    )


def every_name(application: Application) -> str:
    """web2py's scaffolding lets every name pass: who asks for another's new password can say where its link leads."""
    asks = any(name == "Auth" for _, name, _ in application.calls("models/"))
    if application.names_given or not asks or not any(map(is_every, application.listed("host", "names"))):
        return ""
    return (
        "private/appconfig.ini lets Auth be asked by every name ([host] names has *). Here it answers 403 to all but "
        "the load balancer's, domain_name and what else stands there: docs/your-application.md, Settings and secrets."
    )


def named_in_routes(tree: ast.Module) -> set[str]:
    """The applications that a routes.py speaks of, as far as they are in it literally."""
    found: set[str] = set()
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        target, value = node.targets[0].id, node.value
        if target == "routers":
            routers = entries(value)
            base = entries(routers.pop("BASE", None))
            default = base.get("default_application")
            found |= {*routers, *([default.value] if isinstance(default, ast.Constant) else [])}
        elif target in ("routes_in", "routes_out"):
            for route in getattr(value, "elts", []):
                # The side that web2py sees: /application/controller/...
                side = getattr(route, "elts", [None] * 2)[target == "routes_in"]
                if isinstance(side, ast.Constant) and (match := re.match(r"/(\w+)(?:/|$)", str(side.value))):
                    found.add(match[1])
    return found


def entries(node: ast.expr | None) -> dict[str, ast.expr]:
    """Of a dict, as {"a": b} or dict(a=b)."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {
            key.value: value for key, value in pairs if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
    if isinstance(node, ast.Call):
        return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    return {}


def routes(application: Application) -> str:
    tree = application.trees.get("routes.py")
    names = named_in_routes(tree) if tree else set()
    if not names or application.name in names:
        return ""
    return (
        f"routes.py speaks of {', '.join(sorted(names))}, and the application is called {application.name} here: "
        "web2py_app_name says how."
    )


NOTICES: list[Callable[[Application], str]] = [
    broken_modules, other_stores, capital_letters, mails_of_auth, every_name, cron, scheduler, talkers, disk_cache,
    kept_in_a_process, opened_uploads, wiki, routes,
]  # fmt: skip


def smoke_paths(application: Application) -> list[str]:
    """See RETURN."""
    return application.listed("web2py", "smoke_paths")


def is_every(name: str) -> bool:
    """Whether this pattern of a name, as Auth takes them, lets a name pass that nobody has thought of."""
    return any(fnmatch.fnmatchcase(f"any-name.invalid{port}", name) for port in ("", ":80", ":8000", ":8080"))


def host_names(application: Application) -> list[str]:
    """See RETURN. A pattern of localhost's would let `127.0.0.1:x@evil.example.com` pass."""
    names = [name.lower() for name in application.listed("host", "names")]
    own = [name for name in names if not is_every(name) and not HOSTS_OWN.match(name)]
    return sorted(own, key=lambda name: bool(re.search(r"[*?\[]", name)))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "way_out": {"type": "bool", "required": True},
            "scheduler": {"type": "str", "required": True},
            "names_given": {"type": "bool", "required": True},
        },
        supports_check_mode=True,
    )
    settings = {option: module.params[option] for option in ("way_out", "scheduler", "name", "names_given")}
    application = Application(Path(module.params["src"]), **settings)
    wrong = list(errors(application))
    if wrong:
        module.fail_json(msg=f"The application in {application.root} can't run here: " + "\n".join(wrong))
    module.exit_json(
        changed=False,
        notices=[notice for look in NOTICES if (notice := look(application))],
        smoke_paths=smoke_paths(application),
        host_names=host_names(application),
    )


if __name__ == "__main__":
    main()
