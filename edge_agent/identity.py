"""Who this agent is: its signing key, made here and never sent, and what enrolment taught it of its centre.

Everything lies in the state directory, outside the spool: a lost spool must not lose the agent's name or the
spare grants with which its streams begin anew (landing.md §1). Keys are readable by their owner only.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from protocol import messages
from protocol.enrolment import Token
from protocol.errors import Permanent, Rejected
from protocol.keys import KEY_BYTES, KeyKind, PrivateKey, from_base64, to_base64
from protocol.messages import Grant
from protocol.names import Stream, agent_id
from protocol.sealing import Recipient
from protocol.signing import SUITE_1, Ed25519Signer

from . import platform


@dataclass(frozen=True, slots=True)
class Identity:
    agent: str
    signer: Ed25519Signer


@dataclass(frozen=True, slots=True)
class Centre:
    """What the token said, less its secret."""

    broker: str
    ca: str
    site: str
    signing_public: bytes
    sealing_public: bytes
    site_sealing_public: bytes

    @property
    def for_envelopes(self) -> Recipient:
        return Recipient(self.site_sealing_public)

    @property
    def for_messages(self) -> Recipient:
        return Recipient(self.sealing_public)


class StateDir:
    """The agent's state directory, and the files in it that are not the spool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.key_path = root / "keys" / "signing.key"
        self.centre_path = root / "centre.json"
        self.spool_dir = root / "spool"
        self.index_dir = root / "index"
        self.requests_dir = root / "requests"
        self.orders_path = root / "orders.json"
        self.status_path = root / "status.json"
        self.ca_path = root / "centre-ca.pem"

    def make_identity(self) -> Identity:
        """The agent's key, made now if there is none."""
        if not self.key_path.exists():
            self.key_path.parent.mkdir(parents=True, exist_ok=True)
            key = PrivateKey(KeyKind.SIGNING, secrets.token_bytes(KEY_BYTES))
            platform.write_atomically(self.key_path, key.to_text().encode(), private=True)
        return self.identity()

    def identity(self) -> Identity:
        """Raises Permanent GC-1007 where the key is missing, unreadable or open to others."""
        try:
            if not platform.is_private(self.key_path):
                raise Permanent("GC-1007", path=str(self.key_path))
            key = PrivateKey.from_text(self.key_path.read_text("ascii"), KeyKind.SIGNING)
        except (OSError, Rejected, UnicodeDecodeError):
            raise Permanent("GC-1007", path=str(self.key_path)) from None
        return Identity(agent_id(key.public), key.signer())

    def centre(self) -> Centre | None:
        """None before enrolment. Raises Permanent GC-1007 for a file that is not ours."""
        try:
            said: dict[str, Any] = json.loads(self.centre_path.read_text("utf-8"))
            fields: dict[str, Any] = {
                k: from_base64(v) if k.endswith("_public") else v for k, v in said.items()
            }
            return Centre(**fields)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError, Rejected):
            raise Permanent("GC-1007", path=str(self.centre_path)) from None

    def draft_centre(self, token: Token) -> Centre:
        """What the token says of its centre; the CA is written where the link reads it, the rest is not yet."""
        if token.ca:
            platform.write_atomically(self.ca_path, token.ca.encode())
        return Centre(
            broker=token.broker,
            ca=token.ca,
            site=token.site,
            signing_public=from_base64(token.centre_signing),
            sealing_public=from_base64(token.centre_sealing),
            site_sealing_public=from_base64(token.site_sealing),
        )

    def save_centre(self, centre: Centre) -> None:
        """From now on the agent is enrolled."""
        document = {k: to_base64(v) if isinstance(v, bytes) else v for k, v in asdict(centre).items()}
        platform.write_atomically(self.centre_path, json.dumps(document, indent=1).encode(), private=True)

    def folder_identity(self, slug: str) -> str | None:
        """What was recorded of a folder."""
        path = self.root / "sources" / f"{slug}.identity"
        return path.read_text("utf-8") if path.exists() else None

    def save_folder_identity(self, slug: str, identity: str) -> None:
        path = self.root / "sources" / f"{slug}.identity"
        path.parent.mkdir(parents=True, exist_ok=True)
        platform.write_atomically(path, identity.encode(), private=True)  # it tells names below

    def forget_folder_identity(self, slug: str) -> None:
        """What is there next counts."""
        (self.root / "sources" / f"{slug}.identity").unlink(missing_ok=True)

    def book_path(self, slug: str) -> Path:
        """What is known of a folder's files."""
        return self.root / "sources" / f"{slug}.files.sqlite"


class Grants:
    """One spare grant per source, as the centre signed it."""

    def __init__(self, root: Path, identity: Identity, centre: Centre) -> None:
        self._root = root / "grants"
        self._root.mkdir(parents=True, exist_ok=True)
        self._identity = identity
        self._centre = centre

    def keep(self, data: bytes) -> Grant:
        """Verify a grant and keep it as the spare of its source. Raises Rejected where it is not for us."""
        message = messages.parse(data)
        messages.verify(message, SUITE_1, self._centre.signing_public)
        grant = messages.read(message, Grant)
        key_id = SUITE_1.key_id(self._identity.signer.public).hex()
        if (grant.agent, grant.site, grant.key_id) != (self._identity.agent, self._centre.site, key_id):
            raise Rejected("GC-5004", site=grant.site, source=grant.source, epoch=grant.epoch)
        spare = self.spare(grant.source)
        if spare is None or spare[0] < grant.epoch:
            platform.write_atomically(self._path(grant.source), data, private=True)
        return grant

    def spare(self, source: str) -> tuple[int, bytes] | None:
        """(epoch, grant as signed), or None. A damaged file counts as none: the centre gives another."""
        try:
            data = self._path(source).read_bytes()
            message = messages.parse(data)
            messages.verify(message, SUITE_1, self._centre.signing_public)
            return messages.read(message, Grant).epoch, data
        except (OSError, Rejected):
            return None

    def spend(self, source: str) -> None:
        """The spare was used."""
        self._path(source).unlink(missing_ok=True)

    def stream(self, source: str) -> Stream:
        return Stream(self._centre.site, source)

    def _path(self, source: str) -> Path:
        return self._root / f"{source}.grant"
