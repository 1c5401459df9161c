"""Uploads that every instance of the fleet has: in a bucket of S3, as `<application>/<name>`.

The same as web2py_shared_uploads.Uploads for pydal. The keys are those of the host's role (its instance profile), which
botocore gets from the host's metadata and renews in time. Neither an upload nor a download is in memory as a whole.
"""

import datetime
import errno
import io
import logging
import os
import tempfile

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from web2py_shared_database import UnavailableError
from web2py_shared_uploads import PIECE, Content

# Seconds. Of an S3 that can't be reached it is known within twice as many, as each request is sent twice at most.
CONNECT_SECONDS = 1
ANSWER_SECONDS = 3
MISSING = ("NoSuchKey", "404")

LOGGER = logging.getLogger("web2py.shared")


class Uploads:
    """What pydal takes for a file system. Names are those that pydal makes up: no two uploads have the same."""

    def __init__(self, application, bucket, region, endpoint=""):
        self._prefix, self._bucket = f"{application}/", bucket
        self._region, self._endpoint = region, endpoint or None
        self._client = None
        self._process = 0

    def open(self, name, mode="rb"):
        """A file. FileNotFoundError: there is none to read; UnavailableError: S3 does not answer, or refuses."""
        if "w" in mode:
            return Writer(self, name)
        return io.BufferedReader(Object(self, name), PIECE)

    def exists(self, name):
        try:
            self.call("head_object", name)
        except FileNotFoundError:
            return False
        return True

    def remove(self, name):
        self.call("delete_object", name)

    def call(self, operation, name, **arguments):
        """What an operation of S3's client returns for this upload."""
        try:
            return getattr(self._connected(), operation)(Bucket=self._bucket, Key=self._prefix + name, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error
            raise unavailable(error) from error
        except BotoCoreError as error:
            raise unavailable(error) from error

    def _connected(self):
        # Connections must not be shared with the process that this one was forked from.
        if self._client is None or self._process != os.getpid():
            self._process = os.getpid()
            self._client = boto3.session.Session().client(
                "s3",
                region_name=self._region,
                endpoint_url=self._endpoint,
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=ANSWER_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": 2},
                    # A store of one's own has one name.
                    s3={"addressing_style": "path" if self._endpoint else "virtual"},
                ),
            )
        return self._client


class Writer:
    """Collects an upload, which is stored when the file is closed; one that isn't has never been there."""

    def __init__(self, uploads, name):
        self._uploads, self._name = uploads, name
        # What is larger than a piece is on the disk.
        self._file = tempfile.SpooledTemporaryFile(max_size=PIECE)  # noqa: SIM115 -- closed by close

    def write(self, data):
        return self._file.write(data)

    def close(self):
        if not self._file.closed:
            self._file.seek(0)
            with self._file:
                self._uploads.call("put_object", self._name, Body=self._file)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        self._file.close()


class Object(Content):
    """A content in S3, read as it comes."""

    def __init__(self, uploads, name):
        answer = uploads.call("get_object", name)
        super().__init__(name, answer["ContentLength"], answer["LastModified"].astimezone(datetime.UTC))
        self._uploads, self._version = uploads, answer["ETag"]
        self._body, self._next = answer["Body"], 0

    def readinto(self, buffer):
        if self._position >= self.size:
            return 0
        if self._next != self._position:
            self._body.close()
            part = {"Range": f"bytes={self._position}-", "IfMatch": self._version}
            self._body = self._uploads.call("get_object", self.name, **part)["Body"]
        try:
            piece = self._body.read(len(buffer))
        except BotoCoreError as error:
            raise unavailable(error) from error
        if not piece:
            raise OSError(errno.EIO, "S3 sent less than it said", self.name)
        buffer[: len(piece)] = piece
        self._position += len(piece)
        self._next = self._position
        return len(piece)

    def close(self):
        if not self.closed:
            self._body.close()
        super().close()


def unavailable(error):
    LOGGER.error("No S3: %s", error)
    return UnavailableError(str(error))
