"""The database, for the actions that use it.

The other actions must answer while the database is away, so they don't get a DAL at all. A shell gets it in any
case: a migration runs the models there.
"""


def define_tables(db):
    """To change the schema, change this and deploy: the migration instance alters the tables."""
    from pydal.objects import Expression

    db.define_table("date_time", Field("date_time", "datetime", notnull=True))
    # Put together once: that takes longer than the database needs for the answer.
    fields = (db.date_time.id, db.date_time.date_time)
    db.latest_date_time = db(db.date_time)._select(*fields, orderby=~db.date_time.id, limitby=(0, 1))
    db.insert_date_time = db.date_time._insert(date_time=Expression(db, "%s"))  # %s: the value, left open


if request.is_shell:
    import database

    db = database.for_a_shell(DAL)
    define_tables(db)
elif request.function in ("date_time", "latest_date_time"):
    import database

    try:
        db = database.of_this_process(DAL, define_tables)
    except database.Unavailable:
        raise HTTP(
            503, '{"error": "The database does not answer."}\n', **{"Content-Type": "application/json"}
        )
