"""What an application does with uploads."""

import hashlib


def edit():
    form = SQLFORM(db.document, request.args(0), deletable=True, upload=URL("download"))
    if form.process().accepted:
        return str(form.vars.id)
    return form.xml()


def download():
    return response.download(request, db)


def stream():
    """The same for one who makes his own answer."""
    name, content = db.document.content.retrieve(request.args(0))
    return response.stream(content, filename=name, attachment=True)


def store_and_read():
    """As for a thumbnail: what was stored is read before it is committed, and by what knows files only."""
    record = db.document.insert(content=request.vars.content)
    name, content = db.document.content.retrieve(db.document(record).content)
    with content:
        lines = content.readlines()
        content.seek(-4, 2)
        return response.json([name, len(lines), content.read().decode()])


def read_without_leave():
    db.document.content.authorize = lambda record: False
    return download()


def records():
    return response.json(db(db.document).select(orderby=db.document.id).as_list())


def digest():
    _name, content = db.document.content.retrieve(request.args(0))
    return hashlib.file_digest(content, "sha256").hexdigest()
