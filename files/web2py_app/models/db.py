"""The database, for the actions that use it.

The other actions must answer while the database is away, so they don't get a DAL at all. A shell gets it in any
case: a migration runs the models there.
"""

if request.is_shell or request.function in ("date_time", "latest_date_time"):
    import database

    try:
        db = database.connect(DAL)
    except database.Unavailable:
        raise HTTP(
            503, '{"error": "The database does not answer."}\n', **{"Content-Type": "application/json"}
        )

    # To change the schema, change this and deploy: the migration instance alters the table.
    db.define_table("date_time", Field("date_time", "datetime", notnull=True))
