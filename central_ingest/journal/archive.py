"""An archive: sealed segments of the journal in one file, and the signed manifest that makes it evidence.

The file is a segment as `frames` describes it, whole and of known end: `archive/<base>-<length>.gcj`. Offsets are
those of the journal; what was damaged and never came again is zeros, and stands in the manifest. The manifest,
beside it as `.json`, is one line of signature over DOMAIN ‖ H(content), then the content. It outlives its file:
once that is no longer wanted the manifest still says what stood there. docs/protocol.md §12 has the tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import Rejected
from protocol.keys import from_base64, to_base64
from protocol.names import Stream
from protocol.signing import Signer, Suite

from .journal import Run

FOLDER = "archive"
DOMAIN = b"guicang/archive/1\x00"
FORMAT = 1
_NAME = re.compile(r"([0-9]{20})-([0-9]+)\.(?:gcj|json)")


@dataclass(frozen=True, slots=True, order=True)
class Archive:
    """The journal from offset `base` to `end`. `is_kept` is False once its file was given up; without a manifest
    it is not certified: unfinished, unless its segments are gone."""

    base: int
    end: int
    path: Path
    is_kept: bool
    is_certified: bool

    @classmethod
    def at(cls, directory: Path, base: int, end: int) -> Archive:
        path = directory / FOLDER / f"{base:020d}-{end - base}.gcj"
        return cls(base, end, path, path.exists(), path.with_suffix(".json").exists())

    @classmethod
    def named(cls, path: Path) -> Archive | None:
        """The one to which a file of this name belongs, wherever it lies."""
        name = _NAME.fullmatch(path.name)
        if name is None:
            return None
        base, path = int(name[1]), path.with_suffix(".gcj")
        return cls(base, base + int(name[2]), path, path.exists(), path.with_suffix(".json").exists())

    @property
    def manifest(self) -> Path:
        return self.path.with_suffix(".json")


def list_archives(directory: Path) -> tuple[Archive, ...]:
    """By offset, those that are not certified included."""
    folder = directory / FOLDER
    found = {Archive.named(path) for path in (folder.iterdir() if folder.exists() else ())}
    return tuple(sorted((one for one in found if one is not None), key=lambda one: (one.base, one.end)))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds. `digest` is the BLAKE2b-256 of its file; `keys` are the public keys that signed its
    envelopes, by key id, as far as the centre knew them; `previous` is the BLAKE2b-256 of the manifest before,
    so that none can be taken out unseen; times are UTC microseconds."""

    base: int
    end: int
    file_bytes: int
    digest: bytes
    envelopes: int
    first_received: int
    last_received: int
    made: int
    runs: tuple[Run, ...]
    damaged: tuple[tuple[int, int], ...]
    keys: Mapping[bytes, bytes]
    previous: bytes

    def to_bytes(self) -> bytes:
        document = {
            "format": FORMAT,
            "base": self.base,
            "end": self.end,
            "file_bytes": self.file_bytes,
            "digest": self.digest.hex(),
            "envelopes": self.envelopes,
            "first_received": self.first_received,
            "last_received": self.last_received,
            "made": self.made,
            "runs": [_run_to_json(run) for run in self.runs],
            "damaged": [list(one) for one in self.damaged],
            "keys": {key.hex(): public.hex() for key, public in sorted(self.keys.items())},
            "previous": self.previous.hex(),
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Of bytes that `to_bytes` made. Raises ValueError, KeyError or TypeError for others."""
        document: dict[str, Any] = json.loads(content)
        if document.pop("format") != FORMAT:
            raise ValueError("another version's")
        return cls(
            **document
            | {
                "digest": bytes.fromhex(document["digest"]),
                "runs": tuple(_run_from_json(one) for one in document["runs"]),
                "damaged": tuple((int(offset), int(length)) for offset, length in document["damaged"]),
                "keys": {bytes.fromhex(k): bytes.fromhex(v) for k, v in document["keys"].items()},
                "previous": bytes.fromhex(document["previous"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Notary:
    """Who vouches for archives: the centre's key. Without `sign` it can only check."""

    suite: Suite
    public: bytes
    suites: Mapping[int, Suite]
    """Of envelopes."""
    sign: Callable[[bytes], bytes] | None = None

    @classmethod
    def of(cls, signer: Signer, suites: Mapping[int, Suite]) -> Notary:
        return cls(signer.suite, signer.public, suites, signer.sign)

    def certify(self, manifest: Manifest) -> bytes:
        """The document that stands beside the archive."""
        if self.sign is None:
            raise ValueError("this key can only check")
        content = manifest.to_bytes()
        return to_base64(self.sign(DOMAIN + self.suite.digest(content))).encode() + b"\n" + content

    def read(self, document: bytes) -> Manifest | None:
        """None for a document that this key has not signed, or that is damaged."""
        signature, _, content = document.partition(b"\n")
        try:
            signed = DOMAIN + self.suite.digest(content)
            if self.suite.verify(self.public, signed, from_base64(signature.decode("ascii"))):
                return Manifest.from_bytes(content)
        except (Rejected, ValueError, KeyError, TypeError):
            pass
        return None


def covering(archives: Iterable[Archive], offset: int) -> Archive | None:
    """The archive in which `offset` lies."""
    return next((one for one in archives if one.base <= offset < one.end), None)


def _run_to_json(run: Run) -> dict[str, Any]:
    return {
        "site": run.stream.site,
        "source": run.stream.source,
        "epoch": run.epoch,
        "first": run.first,
        "last": run.last,
        "before": run.before.hex(),
        "hash": run.hash.hex(),
        "resume": run.resume.hex(),
        "begin": run.begin,
        "offset": run.offset,
        "received": run.received,
        "bytes": run.envelope_bytes,
        "public": run.public.hex(),
    }


def _run_from_json(one: dict[str, Any]) -> Run:
    return Run(
        stream=Stream(one["site"], one["source"]),
        epoch=int(one["epoch"]),
        first=int(one["first"]),
        last=int(one["last"]),
        before=bytes.fromhex(one["before"]),
        hash=bytes.fromhex(one["hash"]),
        resume=bytes.fromhex(one["resume"]),
        begin=int(one["begin"]),
        offset=int(one["offset"]),
        received=int(one["received"]),
        envelope_bytes=int(one["bytes"]),
        public=bytes.fromhex(one["public"]),
    )
