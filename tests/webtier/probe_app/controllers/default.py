import json
import os
import time

import helper


def health():
    response.headers["X-Asked-As"] = request.env.http_host
    return "ok"


def index():
    return dict(message=helper.greeting(request.args(0) or "nobody"), model=only_for_this_controller)


def echo():
    """What web2py makes of a request."""
    return response.json(
        dict(
            application=request.application,
            controller=request.controller,
            function=request.function,
            extension=request.extension,
            args=list(request.args),
            get=dict(request.get_vars),
            post=dict(request.post_vars),
            method=request.env.request_method,
            header=request.env.http_x_probe,
            content_type=request.content_type,
            client=request.client,
            is_local=request.is_local,
            is_https=request.is_https,
            url=URL("index", args=request.args, vars=request.get_vars),
            original=request.env.web2py_original_uri,
        )
    )


def translated():
    return str(T("Hello World"))


def forced():
    T.force(request.args(0))
    return str(T("Hello World"))


def visits():
    session.visits = (session.visits or 0) + 1
    return str(session.visits)


def away():
    redirect(URL("index", args="redirected"))


def missing():
    raise HTTP(404, "nothing here")


def fails():
    return 1 / 0


def write():
    return str(db.probe.insert(name=request.args(0)))


def names():
    return json.dumps([row.name for row in db(db.probe).select(orderby=db.probe.id)])


def write_and_fail():
    db.probe.insert(name="never")
    raise ValueError("rolled back")


def commit_fails():
    """A constraint that PostgreSQL looks at when the transaction is committed."""
    db.executesql("INSERT INTO probe_child (probe) VALUES (-1)")
    return "accepted"


def keep_and_commit_fails():
    session.kept = request.args(0)
    return commit_fails()


def keep_too_late():
    """A logout or a login of another request comes first: its statement ends with the session's number."""
    change = {
        "logout": "DELETE FROM web2py_session_welcome WHERE id = %s",
        "login": "UPDATE web2py_session_welcome SET unique_key = 'another' WHERE id = %s",
    }[request.args(0)]
    db.executesql(change, [int(request.args(1))])
    db.commit()
    session.kept = "too late"


def slow():
    time.sleep(0.1)
    return "at last"


def visit():
    """As slow, and counted: a byte per visit."""
    with open(os.path.join(request.folder, "databases", "visits"), "a") as counted:
        counted.write(".")
    return slow()


def hang():
    time.sleep(60)
    return "late"


def leak():
    helper.kept.append("x" * (1024 * 1024 * int(request.args(0))))
    return "leaked"


def process():
    return str(os.getpid())


def swell():
    """As large as `leak`, and then no more."""
    return str(len("x" * (1024 * 1024 * int(request.args(0)))))


def __private():
    return "not an action"


def with_argument(value):
    return "not an action"
