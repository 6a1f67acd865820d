"""An agent as the tests of the centre need it: seals what it is told, in sequence, without spool or link.

Keys and entropy follow from small seeds, so that the same calls give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from central_ingest.roster import Member
from protocol.batch import MarkHeader, PieceHeader, encode_batch, encode_mark, encode_piece
from protocol.canonical import digest
from protocol.change import KEY, OP_CODES, MarkKind, Op
from protocol.delivery import Head
from protocol.envelope import Gap, Kind, Rotation
from protocol.keys import KeyKind, PrivateKey
from protocol.names import Stream, TableName, agent_id
from protocol.schema import Column, TableSchema
from protocol.sealing import Place, Recipient, Sealed, entropy_bytes, seal
from protocol.signing import SUITE_1, Ed25519Signer

SITE = "h1"
STREAM = Stream(SITE, "his")
OTHER_STREAM = Stream(SITE, "lis")
SITE_KEY = PrivateKey(KeyKind.SEALING, b"s" * 32)
LOST_KEY = PrivateKey(KeyKind.SEALING, b"l" * 32)
CENTRE_KEY = PrivateKey(KeyKind.SEALING, b"c" * 32)
CENTRE = Ed25519Signer(b"C" * 32)
SESSION = "5" * 32
CAPTURED = 1_700_000_000_000_000


@dataclass
class Sender:
    """One stream in one epoch; `head` is what it sent last."""

    seed: int = 1
    stream: Stream = STREAM
    epoch: int = 1
    head: Head = field(init=False)
    signer: Ed25519Signer = field(init=False)
    sent: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.head = Head(self.epoch)
        self.signer = self.first_key = Ed25519Signer(bytes([self.seed]) * 32)
        self.agent = agent_id(self.signer.public)

    def member(self, revoked: bool = False) -> Member:
        return Member(self.agent, self.stream.site, 1, self.first_key.public, revoked)

    def begin(self, epoch: int) -> None:
        self.epoch, self.head = epoch, Head(epoch)

    def seal(
        self,
        kind: Kind,
        inner: bytes,
        *,
        place: Place | None = None,
        extension: bytes = b"",
        key: PrivateKey = SITE_KEY,
    ) -> Sealed:
        """An envelope at `place`, or as the next one; the head stays where it is."""
        place = place or Place(self.stream, self.epoch, self.head.seq + 1, self.head.chain)
        entropy = (digest(f"{self.seed}/{place.epoch}/{place.seq}".encode()) * 4)[: entropy_bytes(SUITE_1)]
        recipient = Recipient(key.public)
        return seal(
            kind, inner, place, signer=self.signer, recipient=recipient, entropy=entropy, extension=extension
        )

    def send(self, kind: Kind, inner: bytes, *, extension: bytes = b"", key: PrivateKey = SITE_KEY) -> bytes:
        """The next envelope; the head moves."""
        sealed = self.seal(kind, inner, extension=extension, key=key)
        resume = Gap.from_bytes(extension).resume if kind is Kind.GAP else b""
        self.head = Head(self.epoch, sealed.last_seq, sealed.hash, resume)
        self.sent[sealed.seq] = sealed.data
        return sealed.data

    def mark(self, number: int = 0) -> bytes:
        """The next envelope, where its content does not matter."""
        return self.send(Kind.MARK, encode_mark(a_mark(VISITS.table, number)))

    def gap(self, through: int, resume: bytes) -> bytes:
        return self.send(Kind.GAP, b"{}", extension=Gap(through, resume).to_bytes())

    def rotation(self, new: Ed25519Signer, prover: Ed25519Signer | None = None) -> bytes:
        """Signed by the old key; what follows is signed by `new`."""
        proof = Rotation.proof_bytes(self.stream, self.epoch, self.head.seq + 1, new.public)
        rotation = Rotation(new.public, (prover or new).sign(proof))
        data = self.send(Kind.ROTATION, b"{}", extension=rotation.to_bytes())
        self.signer = new
        return data


def table(name: str, *columns: str, key: tuple[str, ...] = ("id",)) -> TableSchema:
    kinds = (Column("id", pa.int64()), *(Column(c, pa.string()) for c in columns))
    return TableSchema(TableName("db", None, name), kinds, key)


VISITS = table("visits", "name")


def a_batch(schema: TableSchema, ids: list[int], op: Op = Op.CREATE) -> bytes:
    """Rows whose text columns follow from their ids."""
    system = {
        "_gc_op": pa.array([OP_CODES[op]] * len(ids), pa.uint8()),
        "_gc_key": pa.array([digest(str(i).encode()) for i in ids], KEY),
    }
    text = [pa.array([f"{c.name}{i}" for i in ids]) for c in schema.columns[1:]]
    return encode_batch(schema, system, [pa.array(ids, pa.int64()), *text], captured=CAPTURED)


def a_mark(
    table: TableName | None,
    number: int = 0,
    kind: MarkKind = MarkKind.TRUNCATE,
    schema: TableSchema | None = None,
) -> MarkHeader:
    exact = None if table is None else (table.database, table.schema, table.name)
    return MarkHeader(
        captured=CAPTURED,
        mark=kind,
        table=exact,
        schema_=schema.fingerprint.hex() if schema else None,
        facts={"number": number},
    )


def a_piece(sha256: str, size: int, offset: int, data: bytes) -> bytes:
    return encode_piece(PieceHeader(captured=CAPTURED, sha256=sha256, size=size, offset=offset), data)
