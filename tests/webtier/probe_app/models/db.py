# As in web2py's own scaffolding: a DAL and the tables for each request, a pooled connection, sessions. An older one said
# nothing of migrations.
from gluon.contrib.appconfig import AppConfig

# What is asked for while the database is away needs none.
if request.controller != "kept":
    db = DAL(AppConfig().get("db.uri"), pool_size=1)
    db.define_table("probe", Field("name"))
