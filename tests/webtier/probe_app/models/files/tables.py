import os

db.define_table(
    "document",
    Field("title"),
    Field("content", "upload"),
    # web2py's form has a box to delete a file only where the field requires nothing.
    Field("fleeting", "upload", autodelete=True, requires=[]),
    Field("own", "upload", uploadfolder=os.path.join(request.folder, "uploads")),
    Field("chosen", "upload"),
)
# As many models do it: after the table was defined.
db.document.chosen.uploadfolder = os.path.join(request.folder, "uploads", "chosen")
