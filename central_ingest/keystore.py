"""The centre's private keys, in files that only its owner can read.

`signing.key` signs receipts, grants and states; `sealing.key` opens enrolments and agents' states; each site
has a sealing key of its own, so that destroying it shreds that site's journal and backups (design.md §4).
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from protocol.errors import Permanent, Rejected
from protocol.keys import KEY_BYTES, KeyKind, PrivateKey, opener
from protocol.names import check_site
from protocol.signing import Ed25519Signer, X25519Opener


class KeyStore:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self) -> None:
        """Make the centre's own keys, unless they exist."""
        self._make("signing.key", KeyKind.SIGNING)
        self._make("sealing.key", KeyKind.SEALING)

    def create_site(self, site: str) -> PrivateKey:
        """The site's sealing key, made now if there is none."""
        return self._make(self._site_name(site), KeyKind.SEALING)

    def signer(self) -> Ed25519Signer:
        return self._read("signing.key", KeyKind.SIGNING).signer()

    def sealing(self) -> PrivateKey:
        return self._read("sealing.key", KeyKind.SEALING)

    def openers(self) -> X25519Opener:
        """Opens what is sealed to the centre or to any of its sites."""
        sites = [self._read(f"sites/{p.name}", KeyKind.SEALING) for p in sorted(self._sites.glob("*.key"))]
        return opener(self.sealing(), *sites)

    def sites_seen(self) -> int:
        """How many sites have a key: an invitation adds one while the daemon runs."""
        return len(list(self._sites.glob("*.key")))

    @property
    def _sites(self) -> Path:
        return self._directory / "sites"

    def _site_name(self, site: str) -> str:
        return f"sites/{check_site(site)}.key"

    def _make(self, name: str, kind: KeyKind) -> PrivateKey:
        path = self._directory / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_new(path, PrivateKey(kind, secrets.token_bytes(KEY_BYTES)))
        return self._read(name, kind)

    def _read(self, name: str, kind: KeyKind) -> PrivateKey:
        path = self._directory / name
        try:
            if path.stat().st_mode & 0o077:
                raise Permanent("GC-1007", path=str(path))
            return PrivateKey.from_text(path.read_text("ascii"), kind)
        except (OSError, Rejected, UnicodeDecodeError):
            raise Permanent("GC-1007", path=str(path)) from None


def _write_new(path: Path, key: PrivateKey) -> None:
    """Whole and durable, or not at all: what is sealed to a key that a power cut took is lost. Whoever was
    faster made the key that counts."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.to_text())
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    for directory in (path.parent, path.parent.parent):
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class LiveOpener:
    """An opener that notices sites which were invited since it last looked."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._seen = store.sites_seen()
        self._opener = store.openers()

    def open_capsule(self, key_id: bytes, capsule: bytes) -> bytes:
        try:
            return self._opener.open_capsule(key_id, capsule)
        except Rejected:
            if self._store.sites_seen() == self._seen:
                raise
            self._seen = self._store.sites_seen()
            self._opener = self._store.openers()
            return self._opener.open_capsule(key_id, capsule)
