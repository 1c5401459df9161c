from gluon.contrib.appconfig import AppConfig

db = DAL(AppConfig().get("db.uri"), pool_size=1, migrate_enabled=False)
db.define_table("tick", Field("host"), Field("asked_as"))
