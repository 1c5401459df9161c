import hashlib
from urllib.parse import urlencode
from urllib.request import urlopen

import ldap.dn
from instance import NAME
from report import Report
from shelves import shelf


def index():
    """How often this visitor has been here."""
    session.visits = (session.visits or 0) + 1
    return dict(visits=session.visits)


def user():
    return dict(form=auth())


@auth.requires_login()
def papers():
    return dict(grid=SQLFORM.grid(db.paper, upload=URL("download"), csv=False))


def download():
    return response.download(request, db)


@auth.requires_login()
def read():
    """Have a paper read in the background."""
    form = SQLFORM.factory(Field("seconds", "integer", default=0), submit_button="Read it")
    if form.process().accepted:
        queued = scheduler.queue_task("read", pvars=dict(paper=request.args(0), seconds=form.vars.seconds))
        redirect(URL("task", args=[queued["id"], request.args(0)]))
    return dict(form=form)


@auth.requires_login()
def task():
    """What has become of it, and who has read the paper so far."""
    status = scheduler.task_status(request.args(0, cast=int), output=True)
    readings = db(db.reading.paper == request.args(1)).select(orderby=db.reading.id)
    return response.json(
        dict(
            status=status.scheduler_task.status,
            worker=status.scheduler_run.worker_name,
            result=status.result,
            readings=[[reading.instance, reading.sha256] for reading in readings],
        )
    )


def about():
    """Whom a visitor has reached, whom he is taken for, and what the deployment has brought. No secret is shown."""
    secret = configuration.get("smtp.login") or ""
    return response.json(
        dict(
            instance=NAME,
            client=request.client,
            motto=configuration.get("app.motto"),
            secret=[len(secret), hashlib.sha256(secret.encode()).hexdigest()],
            compiled=ldap.dn.escape_dn_chars("a,b"),
            shelf=shelf("Compilers"),
        )
    )


def news():
    """A page that shows what is told, as long as it is open."""
    return dict()


@auth.requires_login()
def tell():
    """To those whose websocket is one of this instance. The server of web2py itself is a service beside it."""
    message = urlencode(dict(message=request.post_vars.message, group="news"))
    urlopen("http://127.0.0.1:8888", message.encode(), timeout=5).close()
    return response.json(dict(instance=NAME))


def report():
    """A long answer, of 50 MB if no other size is asked for."""
    size = int(request.args(0) or 50 * 1024 * 1024)
    response.headers["Content-Length"] = size
    return response.stream(Report(size), filename="report.txt", attachment=True)


def fails():
    raise RuntimeError("a fault of the application")


def sorry():
    """The page for errors: routes.py"""
    return dict(ticket=request.vars.ticket)
