"""Three endpoints in JSON, a health check and a page that says who answered."""

import json
import os
import socket

# JSON needs no session: no cookie is sent and nothing is written per request.
session.forget(response)


def _answer(http_status, **values):
    """A JSON body and its HTTP status. (Not an action: web2py calls only functions without arguments.)"""
    response.status = http_status
    response.headers["Content-Type"] = "application/json"
    return json.dumps(values) + "\n"


def _iso(moment):
    return moment.isoformat(timespec="seconds") + "Z"


def _with_database(work):
    """The answer of `work()`, or 503 when the database fails meanwhile."""
    try:
        return work()
    except database.ERRORS as error:
        database.drop(db)
        return _answer(503, error="The database does not answer.", detail=type(error).__name__)


def index():
    """What this is, and which instance and release answered."""
    return dict(
        instance=socket.gethostname(),
        release=os.path.basename(os.path.realpath(request.folder)),
        web2py=request.env.web2py_version.split("-")[0],
        stands_in="stand-in" in request.env.web2py_version,
        now=_iso(request.utcnow),
    )


def health():
    """For the load balancer: cheap, and true as long as this host can answer. It does not ask the database:
    a database that is away must not make the load balancer replace every host."""
    return _answer(200, status="ok")


def date_time_only():
    """The time, without the database."""
    return _answer(200, date_time=_iso(request.utcnow))


def date_time():
    """Insert a row with the time, and return it."""

    def work():
        moment = request.utcnow.replace(microsecond=0)
        ((row_id,),) = db.executesql(db.insert_date_time, (moment,))
        # web2py commits after the answer is made and ignores a commit that fails; commit before promising anything.
        db.commit()
        return _answer(200, id=row_id, date_time=_iso(moment))

    return _with_database(work)


def latest_date_time():
    """The newest row, or 404 as long as there is none."""

    def work():
        rows = db.executesql(db.latest_date_time)
        if not rows:
            return _answer(404, error="There is no row yet: request /date_time first.")
        ((row_id, moment),) = rows
        return _answer(200, id=row_id, date_time=_iso(moment))

    return _with_database(work)
