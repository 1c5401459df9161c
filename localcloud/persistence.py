"""The API's state on disk, so that it survives `kill -9` and a reboot.

The file is written after every change, to a new file that then takes the old one's place; a crash leaves the one or
the other, never half of one. Large objects of S3 are files of their own beside it, written once.
"""

from __future__ import annotations

import collections
import hashlib
import io
import logging
import os
import pickle
import threading
from pathlib import Path
from typing import Any, cast

import moto
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate, load_pem_x509_certificate
from moto.iam.models import IAMBackend
from moto.s3.models import FakeKey
from moto.ssm.models import ParameterDict

from bootstrap.report import AdvisedError
from localcloud import backends
from localcloud.backends import API_LOCK, SERVICES, backend_dict
from localcloud.overlay import iam

LOGGER = logging.getLogger(__name__)
LARGE = 64 * 1024  # bytes of an object that is kept in a file of its own


class StateError(AdvisedError):
    """The saved state can't be read."""


class _Pickler(pickle.Pickler):
    """Pickles moto's backends; the few members that the standard pickler refuses are described here.

    Contents of S3's large objects go to files in `contents`; `kept` are the names of all that the pickle refers to.
    """

    def __init__(self, file: io.BytesIO, contents: Path) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._contents = contents
        self.kept: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is FakeKey and obj.contentsize > LARGE and not obj.disposed:
            return _key, (
                self._content(obj),
                {k: v for k, v in obj.__dict__.items() if k not in ("_value_buffer", "lock")},
            )
        if type(obj) is ParameterDict:  # a defaultdict whose __init__ takes other arguments
            return _parameter_dict, (dict(obj), dict(obj.__dict__))
        if type(obj) is collections.defaultdict and getattr(obj.default_factory, "__name__", "") == "<lambda>":
            # SSM's resource tags: a defaultdict of defaultdicts of dictionaries.
            return _nested_defaultdict, ({k: dict(v) for k, v in obj.items()},)
        if isinstance(obj, (RSAPrivateKey, EllipticCurvePrivateKey)):  # KMS's asymmetric keys
            pem = obj.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            return _private_key, (pem,)
        if isinstance(obj, Certificate):  # ACM's
            return _certificate, (obj.public_bytes(Encoding.PEM),)
        if type(obj) is IAMBackend:
            create, arguments, state, *_ = cast(tuple[Any, ...], obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL))
            return create, arguments, iam.without_unattached_aws_policies(state)
        return NotImplemented

    def _content(self, key: FakeKey) -> Path:
        """The file with an object's content, made if it isn't there. Its name changes with the content."""
        facts = (key.bucket_name, key.name, key.version_id, key.etag, str(key.contentsize))
        name = hashlib.sha256("\0".join(map(str, facts)).encode()).hexdigest()
        path = self._contents / name
        if not path.exists():
            self._contents.mkdir(mode=0o700, exist_ok=True)
            write_durably(path, key.value)
        self.kept.add(name)
        return path


def _key(content: Path, attributes: dict[str, Any]) -> Any:
    restored: Any = FakeKey.__new__(FakeKey)
    restored.__setstate__({**attributes, "value": content.read_bytes()})
    return restored


def write_durably(path: Path, content: bytes) -> None:
    """A crash leaves what was there before, or all of it."""
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # or a power cut could bring the old file back
    finally:
        os.close(directory)


def _parameter_dict(items: dict[str, Any], attributes: dict[str, Any]) -> ParameterDict:
    restored = ParameterDict(attributes["account_id"], attributes["region_name"])
    restored.__dict__.update(attributes)
    restored.update(items)
    return restored


def _private_key(pem: bytes) -> Any:
    return load_pem_private_key(pem, None)


def _certificate(pem: bytes) -> Certificate:
    return load_pem_x509_certificate(pem)


def _nested_defaultdict(items: dict[Any, dict[Any, Any]]) -> Any:
    restored: Any = collections.defaultdict(lambda: collections.defaultdict(dict))
    for key, value in items.items():
        restored[key].update(value)
    return restored


class StateStore:
    """Saves and loads the state of moto's backends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = path.with_name("s3-contents")
        self._saved_digest = b""
        self._lock = threading.Lock()  # the API's threads and the controller save

    def save(self) -> bool:
        """Write the state if it changed since the last time. Returns whether it was written.

        What can't be written (a full disk, an object that can't be pickled) is in the log as an error: the machines and
        the API go on, but would not survive a restart.
        """
        with self._lock:
            try:
                return self._save()
            except (OSError, TypeError, AttributeError, pickle.PicklingError) as error:
                LOGGER.error("the state could not be saved to %s: %s", self.path, error)
                return False

    def _save(self) -> bool:
        with API_LOCK:
            buffer = io.BytesIO()
            pickler = _Pickler(buffer, self.contents)
            pickler.dump(
                {"moto": moto.__version__, "services": {service: dict(backend_dict(service)) for service in SERVICES}}
            )
        content = buffer.getvalue()
        digest = hashlib.sha256(content).digest()
        if digest == self._saved_digest:
            return False
        write_durably(self.path, content)
        # Those of objects that are gone; only now, as the state before referred to them.
        for path in self.contents.iterdir() if self.contents.exists() else ():
            if path.name not in pickler.kept:
                path.unlink()
        self._saved_digest = digest
        return True

    def load(self) -> bool:
        """Put the saved state into moto's backends. Returns whether there was any.

        Raises StateError when the file was written by another moto or is damaged.
        """
        if not self.path.exists():
            return False
        try:
            saved = pickle.loads(self.path.read_bytes())  # our own file, mode 0600
            version = saved["moto"]
        except Exception as error:
            raise StateError(
                f"{self.path} is damaged: {error}",
                look=f"ls -l {self.path}",
                type_this="python -m localcloud down   (to start over)",
            ) from error
        if version != moto.__version__:
            raise StateError(
                f"{self.path} was written by moto {version}, this is moto {moto.__version__}",
                look=f"ls -l {self.path}",
                type_this="python -m localcloud down   (to start over; or make teardown, with that version)",
            )
        with API_LOCK:
            for service, accounts in saved["services"].items():
                backend_dict(service).update(accounts)
            for backend in backends.each("iam"):
                iam.add_aws_policies(backend)
        return True
