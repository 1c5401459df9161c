# As in web2py's own scaffolding. `configuration` is what a deployment has written into private/appconfig.ini.
from gluon.contrib.appconfig import AppConfig
from gluon.tools import Auth

configuration = AppConfig()
db = DAL(
    configuration.get("db.uri"),
    pool_size=configuration.get("db.pool_size"),
    migrate_enabled=configuration.get("db.migrate"),
)
auth = Auth(db, host_names=configuration.get("host.names"))
auth.define_tables(username=False, signature=False)

db.define_table("paper", Field("title", requires=IS_NOT_EMPTY()), Field("content", "upload"), format="%(title)s")
# A row for each time that a paper was read in the background: models/tasks.py
db.define_table("reading", Field("paper", "reference paper"), Field("sha256"), Field("instance"))
