# As web2py's own scaffolding does it: a connection and the tables for each request, whatever it asks for.
from gluon.contrib.appconfig import AppConfig

configuration = AppConfig()
db = DAL(configuration.get("db.uri"), pool_size=10, migrate_enabled=False, check_reserved=["all"])
db.define_table("date_time", Field("date_time", "datetime", notnull=True))
