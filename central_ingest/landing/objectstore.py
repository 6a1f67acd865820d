"""A store in a bucket of any S3-compatible object store: what was put is durable, whole or not at all.

The only room that imports obstore. A create is a conditional put (`If-None-Match: *`), so of two writers one is
refused by the store itself; a store that does not know the condition is found out before anything is created
on it. Throttling, faults of the server, cut and slow answers are tried again with growing pauses, for a bounded
time; then StoreAway, and whoever called tries again later. It refuses to know what lies in the objects.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import S3Store

from protocol.errors import Fault

from . import multiparts
from .bucket import Bucket, Credentials
from .store import Item, Location

if TYPE_CHECKING:
    from obstore.store import S3Credential

_PUT_BYTES_MAX = 16 << 20
"""Larger objects travel in parts."""
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4
_CREDENTIALS_HELD = timedelta(minutes=10)
_RETRIES_MAX = 100  # time bounds them, not their number
_PAUSE, _PAUSE_MAX = timedelta(seconds=0.1), timedelta(seconds=5)
_AWAY_SECONDS = 1.0
_STATUS = re.compile(r"non-2xx status code: ([0-9]{3}) ")


class StoreAway(OSError):
    """It does not answer, or not in time, or with a fault of its own. Nobody knows whether it did what it was asked."""

    def __init__(self) -> None:
        super().__init__(errno.EHOSTUNREACH, "the object store does not answer")


class StoreRefuses(OSError):
    """It does not let us in: credentials, or what they may do."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the object store refuses access")


class StoreMissing(OSError):
    """There is no such bucket."""

    def __init__(self) -> None:
        super().__init__(errno.ENXIO, "the bucket is not there")


class StoreUnfit(OSError):
    """It overwrites where it was asked to create: two writers could take the same name."""

    def __init__(self) -> None:
        super().__init__(errno.ENOTSUP, "the object store ignores If-None-Match")


class ObjectStore:
    """A `Store` below a prefix of a bucket that is there already. `credentials` is asked again every few minutes."""

    lasting = True

    def __init__(
        self,
        bucket: Bucket,
        credentials: Callable[[], Credentials],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._credentials = credentials
        self._now = now
        self._is_fit = False
        self._away_until = now()
        self._store = S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            endpoint=bucket.address,
            region=bucket.region,
            virtual_hosted_style_request=not bucket.path_style,
            disable_bulk_delete=True,  # not every store has it
            client_options={
                "allow_http": bucket.allow_http,
                "connect_timeout": timedelta(seconds=bucket.connect_seconds),
                "timeout": timedelta(seconds=bucket.request_seconds),
            },
            retry_config={
                "max_retries": _RETRIES_MAX,
                "retry_timeout": timedelta(seconds=bucket.retry_seconds),
                "backoff": {"init_backoff": _PAUSE, "max_backoff": _PAUSE_MAX, "base": 2},
            },
            credential_provider=self._provide,
        )

    def establish(self) -> None:
        """The bucket is somebody else's to make, and may be away just now."""

    def create(self, name: str, content: bytes) -> None:
        self._find_out_whether_fit()
        try:
            with self._asking(name):
                self._create(name, content)
        except (FileExistsError, StoreAway):
            self._away_until = self._now()
            if self._look_up(name) != content:  # tried again inside, it may have met itself
                raise

    def put(self, name: str, content: bytes) -> None:
        self._upload(name, content, len(content))

    def keep(self, name: str, content: bytes | Path) -> None:
        if isinstance(content, bytes):
            self._upload(name, content, len(content))
            return
        self._upload(name, content, content.stat().st_size)
        content.unlink()

    def get(self, name: str) -> bytes:
        with self._asking(name):
            return obstore.get(self._store, name).bytes().to_bytes()

    def prove(self, name: str) -> bytes:
        return self.get(name)

    def size(self, name: str) -> int | None:
        try:
            with self._asking(name):
                return obstore.head(self._store, name)["size"]
        except FileNotFoundError:
            return None

    def list(self, folder: str) -> list[Item]:
        with self._asking(folder):
            found = obstore.list_with_delimiter(self._store, folder or None)
        items = [Item(f"{_last(path)}/", 0, 0) for path in found["common_prefixes"]]
        for one in found["objects"]:
            items.append(Item(_last(one["path"]), one["size"], one["last_modified"].timestamp()))
        return sorted(items, key=lambda item: item.name)

    def move(self, name: str, to: str) -> None:
        with self._asking(name):
            obstore.copy(self._store, name, to)
        self.delete(name)

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._asking(name):
            obstore.delete(self._store, name)

    def sync(self, names: Iterable[str]) -> None:
        pass

    def tidy(self, folder: str) -> None:
        pass

    def clear_uploads(self) -> int:
        bucket, given = self._bucket, self._given()
        path = f"/{bucket.name}" if bucket.path_style else ""
        api = multiparts.Api(
            f"{bucket.address}{path}",
            bucket.region,
            given.access_key_id,
            given.secret_access_key,
            given.session_token,
            bucket.request_seconds,
        )
        try:
            return multiparts.give_up_old(api, bucket.below(""), datetime.now(UTC))
        except OSError:
            raise StoreAway from None

    def locate(self, folder: str) -> Location:
        bucket, given = self._bucket, self._given()
        options = {
            "AWS_ENDPOINT_URL": bucket.address,
            "AWS_REGION": bucket.region,
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": str(not bucket.path_style).lower(),
            "AWS_ALLOW_HTTP": str(bucket.allow_http).lower(),
            "AWS_ACCESS_KEY_ID": given.access_key_id,
            "AWS_SECRET_ACCESS_KEY": given.secret_access_key,
            "connect_timeout": f"{bucket.connect_seconds}s",
            "timeout": f"{bucket.request_seconds}s",
            "max_retries": str(_RETRIES_MAX),
            "retry_timeout": f"{bucket.retry_seconds}s",
            "backoff_config.init_backoff": f"{_PAUSE.total_seconds()}s",
            "backoff_config.max_backoff": f"{_PAUSE_MAX.total_seconds()}s",
        }
        if given.session_token:
            options["AWS_SESSION_TOKEN"] = given.session_token
        return Location(f"s3://{bucket.name}/{bucket.below(folder)}", options)

    def _create(self, name: str, content: bytes) -> None:
        obstore.put(self._store, name, content, mode="create", use_multipart=False)

    def _look_up(self, name: str) -> bytes | None:
        try:
            return self.get(name)
        except FileNotFoundError:
            return None

    def _upload(self, name: str, content: bytes | Path, size: int) -> None:
        with self._asking(name):
            obstore.put(
                self._store,
                name,
                content,
                use_multipart=size > _PUT_BYTES_MAX,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def _find_out_whether_fit(self) -> None:
        """Once: two contents under one new name, and the second must be refused."""
        if self._is_fit:
            return
        name = f"_system/probe-{uuid.uuid4()}"
        try:
            with contextlib.suppress(FileExistsError), self._asking(name):
                self._create(name, b"1")
            with contextlib.suppress(FileExistsError), self._asking(name):
                self._create(name, b"2")
                raise StoreUnfit
        finally:
            self.delete(name)
        self._is_fit = True

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Faults of the store as those of a disk. While it is away whoever comes is told so at once, but for one in a
        second: a hundred tables must not wait for it one after the other."""
        if self._now() < self._away_until:
            raise StoreAway
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None
        except exceptions.AlreadyExistsError:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise StoreRefuses from None
        except exceptions.BaseError as error:
            match _status(error):
                case 401 | 403:
                    raise StoreRefuses from None
                case 404:
                    raise StoreMissing from None
            self._away_until = self._now() + _AWAY_SECONDS
            raise StoreAway from None

    def _given(self) -> Credentials:
        """What was readable at the start may not be so now: that is for somebody to mend, and not for ever."""
        try:
            return self._credentials()
        except Fault:
            raise StoreRefuses from None

    def _provide(self) -> S3Credential:
        given = self._given()
        return {
            "access_key_id": given.access_key_id,
            "secret_access_key": given.secret_access_key,
            "token": given.session_token or None,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_HELD,
        }


def _status(error: Exception) -> int | None:
    """The HTTP status of an answer to a listing, which has no exception of its own. Only the text tells it."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
