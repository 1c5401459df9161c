"""Changes to web2py and pydal at run time, each by its name (PATCHES). The handler in front of web2py applies them.

Written for web2py 3.3.3 and pydal's PostgreSQL adapter; what web2py 2.26.1, its stand-in, lacks is left out there. What
most of them gain comes from one thing: a release never changes under a running process (a new one is another directory,
and uWSGI reloads), so nothing of it must be looked up for each request.
"""

import functools
import io
import select
import sys
import types

# A visitor can make up as many addresses and headers as he likes, each of up to 20 KB: so many are kept.
MOST = 512
LONGEST_ADDRESS = 1000
NOTHING: dict = {}


def commit_errors():
    """A commit that fails is an error of the request: 500 and a ticket.

    pydal closes the connection and goes on as if nothing had happened, so that the visitor gets web2py's 200 for data
    that is not there.
    """
    from pydal.connection import ConnectionPool

    close = ConnectionPool.close

    @functools.wraps(close)
    def close_and_raise(self, action="commit", really=True):
        failures = []

        def commit(adapter):
            try:
                adapter.commit()
            except Exception as error:
                failures.append(error)
                raise

        close(self, commit if action == "commit" else action, really)
        if failures:
            raise failures[0]

    ConnectionPool.close = close_and_raise


def connection_check():
    """Whether a pooled connection still lives is seen from its socket, not asked with `BEGIN` and `SELECT 1`.

    A connection that the server has closed is readable, without anything having been asked. One whose server hangs is
    found by neither way.
    """
    from pydal.adapters.postgres import Postgre

    def test_connection(self):
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        if poll.poll(0):
            self.connection.close()
            raise self.driver.OperationalError("the server has closed the connection")

    Postgre.test_connection = test_connection


def file_cache():
    """Code and translations are read once, code is searched for its actions once, a directory of models is listed once.

    web2py asks the file system a dozen times per request whether something has changed, and puts as many paths
    together. A file `DISABLED` in the application's directory is seen when uWSGI is reloaded.
    """
    from gluon import compileapp, languages, main

    found = {}
    getcfs = compileapp.getcfs

    def get_once(key, filename, make=None):
        if key not in found:
            if len(found) >= MOST:
                found.clear()
            found[key] = getcfs(key, filename, make)
        return found[key]

    compileapp.getcfs = languages.getcfs = get_once
    compileapp.exists = main.exists = functools.lru_cache(MOST)(compileapp.exists)
    compileapp.pjoin = main.pjoin = functools.lru_cache(MOST)(compileapp.pjoin)
    main.abspath = functools.lru_cache(MOST)(main.abspath)
    # Lists are copied: what gets one may change it.
    listdir = functools.lru_cache(MOST)(compileapp.listdir)
    compileapp.listdir = lambda *args, **kwargs: list(listdir(*args, **kwargs))
    exposed = functools.lru_cache(MOST)(compileapp.find_exposed_functions)
    compileapp.find_exposed_functions = lambda data: list(exposed(data))


def header_cache():
    """What was made of headers' names, of a Content-Type or of an extension is kept for the next request with it."""
    from gluon import main
    from gluon.globals import Request
    from gluon.rewrite import MapUrlIn
    from gluon.storage import Storage

    # web2py 2.26.1 has none: it leaves the Content-Type alone.
    parse = getattr(Request, "parse_content_type", None)

    @functools.lru_cache(MOST)
    def parsed(content_type):
        request = Storage(env=Storage(content_type=content_type))
        parse(request)
        return request.encoding, request.content_type

    def parse_content_type(self):
        self.encoding, self.content_type = parsed(self.env.content_type)

    def sluggify(self):
        self.request.env.update(lower_case(self.env))

    main.contenttype = functools.lru_cache(MOST)(main.contenttype)
    if parse:
        Request.parse_content_type = parse_content_type
    MapUrlIn.sluggify = sluggify


@functools.lru_cache(MOST)
def lower_case_names(names):
    return [name.lower().replace(".", "_") for name in names]


def lower_case(env):
    """The names and values of a WSGI environment, with names as web2py's `request.env` has them."""
    return zip(lower_case_names(tuple(env)), env.values(), strict=True)


def address_cache():
    """Which application, controller and function an address means is found out once.

    With `routers`; the older routes by regular expressions are left alone.
    """
    from gluon import rewrite
    from gluon.storage import List

    map_url_in = rewrite.map_url_in
    known = {}
    # All that it reads of the request.
    reads = ("PATH_INFO", "QUERY_STRING", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    sets = ("application", "controller", "function", "extension", "uri_language")

    def map_once(request, env, app=False):
        key = tuple([env.get(name) for name in reads])
        if app or len(env.get("QUERY_STRING") or "") + len(env["PATH_INFO"]) > LONGEST_ADDRESS:
            return map_url_in(request, env, app)
        if key not in known:
            before = dict(env)
            static_file, _version, env = mapped = map_url_in(request, env, app)
            if not static_file:
                if len(known) >= MOST:
                    known.clear()
                known[key] = (
                    {name: request[name] for name in sets if name in request},
                    list(request.args),
                    {name: value for name, value in env.items() if before.get(name) != value},
                )
            return mapped
        attributes, args, changes = known[key]
        rewrite.THREAD_LOCAL.routes = rewrite.params
        request.update(attributes)
        request.args = List(args)
        env.update(changes)
        request.env.update(lower_case(env))
        return None, None, env

    rewrite.map_url_in = map_once


def import_cache():
    """A module of the application is found at once when it is imported again.

    A model or controller imports for each request what it needs, and web2py looks for each module on all of Python's
    path before it looks in the application.
    """
    from gluon import custom_import
    from gluon.globals import current

    importer, native = custom_import.custom_importer, custom_import.NATIVE_IMPORTER
    known = {}

    @functools.wraps(importer)
    def import_again(name, globals=NOTHING, locals=None, fromlist=(), level=0):  # noqa: A002 -- as Python's own
        if level == 0 and name in sys.modules:
            try:
                return native(name, globals, locals, fromlist, level)
            except ImportError:
                pass  # a name in it is missing: the application may have a module of the same name
        request = getattr(current, "request", None)
        if request is None or level > 0 or request._custom_import_track_changes:
            return importer(name, globals, locals, fromlist, level)
        key = request.folder, name
        if key in known:
            top, module = known[key]
            if not fromlist:
                return top
            if all(hasattr(module, attribute) for attribute in fromlist):
                return module
        result = importer(name, globals, locals, fromlist, level)
        modules = ".".join(request.folder.rstrip("/").split("/")[-2:]) + ".modules."
        if name not in sys.modules and modules + name in sys.modules:
            known[key] = sys.modules[modules + name.partition(".")[0]], sys.modules[modules + name]
        return result

    custom_import.custom_importer = import_again


def translator_cache():
    """The translator T of a request is a copy of an earlier one for the same languages."""
    from gluon import compileapp

    kind = compileapp.TranslatorFactory
    made = functools.lru_cache(MOST)(kind)

    def translator(langpath, http_accept_language):
        copy = object.__new__(kind)  # copy.copy() takes five times as long
        copy.__dict__.update(made(langpath, http_accept_language).__dict__, otherTs={})
        return copy

    compileapp.TranslatorFactory = translator


def date_cache():
    """The date in the header Expires is written once a second."""
    from gluon import main

    main.unlocalised_http_header_date = functools.lru_cache(1)(main.unlocalised_http_header_date)


def upload_files():
    """An upload stays in the temporary file that it was parsed into; web2py 3.3.3 reads it into memory as a whole."""
    from gluon import globals as web2py

    # web2py 2.26.1 leaves it in a file, too.
    if not hasattr(web2py, "MultipartParser"):
        return
    parse = web2py.MultipartParser

    def parse_to_files(*args, **kwargs):
        for part in parse(*args, **kwargs):
            upload = types.SimpleNamespace(name=part.name, filename=part.filename, raw=part.file)
            yield upload if part.filename else part

    def as_file(content=b""):
        return content if hasattr(content, "read") else io.BytesIO(content)

    web2py.MultipartParser = parse_to_files
    web2py.BytesIO = as_file


PATCHES = {
    patch.__name__: patch
    for patch in (
        commit_errors,
        connection_check,
        file_cache,
        header_cache,
        address_cache,
        import_cache,
        translator_cache,
        date_cache,
        upload_files,
    )
}


def apply(names):
    """Apply the patches with these names; KeyError when there is none of a name."""
    for patch in [PATCHES[name] for name in names]:
        patch()
