"""Which store the configuration means, and the credentials for it.

Credentials stand in a file of the form that AWS's own tools read (INI, section `default`) or in the environment,
never in the configuration and never in a log. The file is read again while the daemon runs, so that they can be
replaced without a restart.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable
from pathlib import Path

from protocol.errors import Permanent

from .config import Config
from .landing.bucket import Bucket, Credentials
from .landing.localstore import LocalStore
from .landing.objectstore import ObjectStore
from .landing.store import Store

_KEY = "lake.credentials_file"


def lake_store(config: Config) -> Store:
    """Where the tables lie. Raises Permanent GC-1004 where the credentials cannot be read."""
    return _object_store(config, "") if config.lake.url else LocalStore(config.lake_dir)


def files_store(config: Config) -> Store:
    """Where large values lie when they are whole. Raises Permanent GC-1004."""
    return _object_store(config, "files") if config.lake.url else LocalStore(config.files_dir)


def _object_store(config: Config, folder: str) -> ObjectStore:
    lake = config.lake
    name, _, prefix = lake.url.removeprefix("s3://").partition("/")
    bucket = Bucket(
        name,
        "/".join(part for part in (prefix.strip("/"), folder) if part),
        endpoint=lake.endpoint.rstrip("/"),
        region=lake.region,
        path_style=lake.path_style,
        allow_http=lake.allow_http,
        connect_seconds=lake.connect_seconds,
        request_seconds=lake.request_seconds,
        retry_seconds=lake.retry_seconds,
    )
    source = _source(lake.credentials_file)
    source()
    return ObjectStore(bucket, source)


def _source(file: Path | None) -> Callable[[], Credentials]:
    return _from_environment if file is None else lambda: _from_file(file)


def _from_environment() -> Credentials:
    try:
        key_id, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    except KeyError as error:
        raise Permanent("GC-1004", key=_KEY, origin=str(error.args[0])) from None
    return Credentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN", ""))


def _from_file(file: Path) -> Credentials:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(file.read_text("utf-8"))
        given = parser["default"]
        key_id, secret = given["aws_access_key_id"], given["aws_secret_access_key"]
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
        raise Permanent("GC-1004", key=_KEY, origin=str(file)) from None
    return Credentials(key_id, secret, given.get("aws_session_token", ""))
