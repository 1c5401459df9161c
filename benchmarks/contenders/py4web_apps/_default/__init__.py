import os

from py4web import DAL, Field, action
from pydal.utils import utcnow

db = DAL(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgres://"),
    pool_size=1,
    migrate=False,
    folder="/tmp",
)
db.define_table("date_time", Field("date_time", "datetime", notnull=True))


def iso(moment):
    return moment.isoformat(timespec="seconds") + "Z"


@action("date_time_only")
def date_time_only():
    return {"date_time": iso(utcnow())}


@action("date_time")
@action.uses(db)
def date_time():
    moment = utcnow()
    return {"id": int(db.date_time.insert(date_time=moment)), "date_time": iso(moment)}


@action("latest_date_time")
@action.uses(db)
def latest_date_time():
    row = db(db.date_time).select(orderby=~db.date_time.id, limitby=(0, 1)).first()
    return {"id": row.id, "date_time": iso(row.date_time)}
