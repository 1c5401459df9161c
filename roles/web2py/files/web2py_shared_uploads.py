"""Uploads that every instance of the fleet has: in the application's database, or in S3 (web2py_shared_uploads_s3.py).

pydal lets a field of type `upload` have a file system of its own (`uploadfs`). Here that is a bucket, or a table of
pieces of files, for each field whose application chooses no place. So records stay as small as they are with files:
what selects them, or keeps one in a session, gets no content; and neither an upload nor a download is ever in memory as
a whole.

As with files, what a request has stored stays when the request fails, and what belongs to a record is removed with it
where the field says `autodelete=True`.
"""

import datetime
import email.utils
import errno
import io
import os
import re

from gluon.contenttype import contenttype
from gluon.globals import Response, current
from gluon.http import HTTP
from gluon.streamer import DEFAULT_CHUNK_SIZE, streamer
from psycopg2 import Binary, sql
from pydal.objects import Field

# The application's name is behind it.
TABLE = "web2py_upload_"
# Bytes. A process holds several times as many while it stores or reads a piece.
PIECE = 256 * 1024
# Pieces that are removed by one statement, which has a second and a half.
REMOVED = 200
# What an application sets on a field whose uploads it keeps itself.
CHOICES = (
    "uploadfolder",
    "uploadseparate",
    "custom_store",
    "custom_retrieve",
    "custom_retrieve_file_properties",
    "custom_delete",
)

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def define_table(db, application):
    """For the migration, which makes it."""
    db.define_table(
        TABLE + application,
        Field("name", "text"),
        Field("start", "bigint"),
        Field("content", "blob"),
        Field("created_datetime", "datetime"),
        primarykey=["name", "start"],
    )


def chooses(field):
    """Whether the application has chosen a place for the field's uploads."""
    return field.uploadfield is not True or any(getattr(field, choice) for choice in CHOICES)


def in_files(table, shared):
    """The table's fields whose uploads are files of the host: by the application's choice, or as all of them are."""
    return [
        str(field)
        for field in table
        if field.type == "upload"
        and field.uploadfield is True
        and not (field.uploadfs or field.custom_store)
        and (chooses(field) or shared.settings.get("uploads") not in ("database", "s3"))
    ]


def keep_in(uploads):
    """Fields of type upload have these for a file system, unless the application chooses another place."""
    stream = Response.stream

    def uploadfs(field):
        # Looked at in each use, because models choose after they have defined a table as well. A table without an
        # address is that of a form without a database (SQLFORM.factory): its uploads are for this request.
        own = vars(field).get("uploadfs")
        if own or field.type != "upload" or not getattr(field.db, "_uri", None) or chooses(field):
            return own
        return uploads

    def set_uploadfs(field, own):
        vars(field)["uploadfs"] = own

    def stream_content(self, content, chunk_size=DEFAULT_CHUNK_SIZE, request=None, attachment=False, filename=None):
        raw = getattr(content, "raw", None)
        if not isinstance(raw, Content):
            return stream(self, content, chunk_size, request, attachment, filename)
        if attachment:
            self.headers["Content-Disposition"] = f'attachment; filename="{filename or ""}"'
        status, first, length = answer(self, request or current.request, raw)
        content.seek(first)
        raise HTTP(status, streamer(content, chunk_size, length), **self.headers)

    Field.uploadfs = property(uploadfs, set_uploadfs)
    Response.stream = stream_content


def answer(response, request, content):
    """Status, first byte and length of an answer with a content, as web2py has them for a file; HTTP: without one."""
    headers = response.headers
    headers.setdefault("Content-Type", contenttype(content.name))
    headers.setdefault("Last-Modified", email.utils.format_datetime(content.created, usegmt=True))
    headers.setdefault("Pragma", "cache")
    headers.setdefault("Cache-Control", "private")
    headers["Accept-Ranges"] = "bytes"
    status, first, length = response.status, 0, content.size
    if status == 200:
        if request.env.http_if_modified_since == headers["Last-Modified"]:
            raise HTTP(304, **{"Content-Type": headers["Content-Type"]})
        part = requested(request.env.http_range, content.size)
        if part:
            first, last = part
            if first > last:
                raise HTTP(416, **{"Content-Range": f"bytes */{content.size}"})
            status, length = 206, last - first + 1
            headers["Content-Range"] = f"bytes {first}-{last}/{content.size}"
    headers["Content-Length"] = length
    return status, first, length


def requested(header, size):
    """The first and the last byte that a header Range asks for; the first is behind the last where there is none.

    None: all of it, as for several ranges in one header and what is no range.
    """
    match = RANGE.fullmatch(header or "")
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size - 1
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last or size), size - 1)


class Uploads:
    """What pydal takes for a file system. Names are those that pydal makes up: no two uploads have the same."""

    def __init__(self, application, database):
        self._database = database
        self._table = sql.Identifier(TABLE + application)

    def open(self, name, mode="rb"):
        """A file. FileNotFoundError: there is none to read; UnavailableError: the database does not answer."""
        if "w" in mode:
            return io.BufferedWriter(Writer(self, name), PIECE)
        return io.BufferedReader(Pieces(self, name), PIECE)

    def exists(self, name):
        return bool(self.execute("SELECT 1 FROM {} WHERE name = %s LIMIT 1", name))

    def names(self):
        return [name for (name,) in self.execute("SELECT name FROM {} WHERE start = 0 ORDER BY name")]

    def remove(self, name):
        statement = """DELETE FROM {} WHERE name = %s AND start IN
                       (SELECT start FROM {} WHERE name = %s ORDER BY start LIMIT %s)"""
        while self.execute(statement, name, name, REMOVED) == REMOVED:
            pass

    def execute(self, statement, *arguments):
        statement = sql.SQL(statement)
        return self._database.execute(statement.format(*[self._table] * statement.string.count("{}")), arguments)


class Writer(io.RawIOBase):
    """Each write is a piece of its own."""

    def __init__(self, uploads, name):
        self._uploads, self._name, self._size = uploads, name, 0
        # The database has no time zone here, and pydal takes none.
        self._created = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

    def writable(self):
        return True

    def write(self, data):
        statement = "INSERT INTO {} (name, start, content, created_datetime) VALUES (%s, %s, %s, %s)"
        piece = bytes(data[:PIECE])
        self._uploads.execute(statement, self._name, self._size, Binary(piece), self._created)
        self._size += len(piece)
        return len(piece)

    def close(self):
        if not self.closed and not self._size:
            self.write(b"")  # An empty file is one, too.
        super().close()


class Content(io.RawIOBase):
    """A content that is read piece by piece, also when the request has ended.

    `name`, `size` in bytes, `created` (UTC), `_position` from where the next piece is read.
    """

    def __init__(self, name, size, created):
        self.name, self.size, self.created, self._position = name, size, created, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position


class Pieces(Content):
    """A content in the database."""

    def __init__(self, uploads, name):
        self._uploads = uploads
        statement = """SELECT start + octet_length(content), created_datetime FROM {} WHERE name = %s
                       ORDER BY start DESC LIMIT 1"""
        rows = uploads.execute(statement, name)
        if not rows:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        ((size, created),) = rows
        super().__init__(name, size, created.replace(tzinfo=datetime.UTC))

    def readinto(self, buffer):
        if self._position >= self.size:
            return 0
        statement = """SELECT start, content FROM {} WHERE name = %s AND start <= %s
                       ORDER BY start DESC LIMIT 1"""
        for start, content in self._uploads.execute(statement, self.name, self._position):
            piece = bytes(content[self._position - start :][: len(buffer)])
            buffer[: len(piece)] = piece
            self._position += len(piece)
            return len(piece)
        raise OSError(errno.EIO, "It was removed meanwhile", self.name)
