"""Signed messages: hello, receipt, expected, grant, states, commands, enrolment, what is asked for again.

    message = "GCMS" ‖ u8 version ‖ u8 suite ‖ u8 type ‖ u8+key id ‖ u32+payload ‖ u16+signature
    signature over "guicang/message/1" ‖ 00 ‖ H(everything before the signature)

The payload is JSON under a strict model; it is parsed only after the signature was verified, by whoever knows
the signer's key. The type is signed, so that no message ever passes for another kind.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import Rejected
from .limits import MESSAGE_BYTES_MAX, SEQ_MAX
from .schema import canonical_json
from .sealing import Recipient, open_blob, seal_blob
from .signing import Opener, Signer, Suite

MAGIC = b"GCMS"
FORMAT = 1
DOMAIN = b"guicang/message/1\x00"

_HEAD = struct.Struct(">4sBBBB")
_U32, _U16 = struct.Struct(">I"), struct.Struct(">H")

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
HexBytes = Annotated[str, Field(pattern=r"^([0-9a-f]{2}){0,64}$")]
Seq = Annotated[int, Field(ge=0, le=SEQ_MAX)]
Epoch = Annotated[int, Field(ge=1, le=SEQ_MAX)]
Micros = Annotated[int, Field(ge=0, lt=2**63)]
SiteCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
SourceSlug = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=65_536)]


class MessageType(IntEnum):
    HELLO = 1
    RECEIPT = 2
    EXPECTED = 3
    GRANT = 4
    REFUSAL = 5
    CENTRE_STATE = 6
    AGENT_STATE = 7
    COMMAND = 8
    ANSWER = 9
    ENROL = 10
    ENROLLED = 11
    AGAIN = 12
    GONE = 13


class Payload(BaseModel):
    """What every payload obeys: no unknown member, no coercion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    type: ClassVar[MessageType]


class StreamHead(BaseModel):
    """One stream in a hello: what the agent's spool ends with, and the grant (as signed) that lets it send."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    site: SiteCode
    source: SourceSlug
    epoch: Epoch
    seq: Seq
    hash: HexBytes
    grant: Base64


class Hello(Payload):
    """Agent to centre on every connection, before any data. `wants` are sources that need a (spare) grant."""

    type = MessageType.HELLO
    agent: Hex32
    session: Hex32
    version: Annotated[str, Field(max_length=64)]
    time: Micros
    streams: Annotated[tuple[StreamHead, ...], Field(strict=False, max_length=256)] = ()
    wants: Annotated[tuple[SourceSlug, ...], Field(strict=False, max_length=256)] = ()


class Receipt(Payload):
    """Centre to agent: everything of this epoch up to `seq`, whose hash this is, is in the journal (promise 3).

    `seq` 0 with an empty hash says that nothing is. `credit` is the byte offset, counted from the first
    envelope of the epoch, up to which the agent may send. `session` names the hello it belongs to.
    """

    type = MessageType.RECEIPT
    agent: Hex32
    session: Hex32
    site: SiteCode
    source: SourceSlug
    epoch: Epoch
    seq: Seq
    hash: HexBytes
    credit: Seq


class Expected(Payload):
    """Centre to agent, once per gap and connection: send again from `seq` on."""

    type = MessageType.EXPECTED
    agent: Hex32
    session: Hex32
    site: SiteCode
    source: SourceSlug
    epoch: Epoch
    seq: Seq
    credit: Seq


class Grant(Payload):
    """The centre's word that this agent may hold this stream in this epoch. Bound to the agent's key."""

    type = MessageType.GRANT
    agent: Hex32
    site: SiteCode
    source: SourceSlug
    epoch: Epoch
    key_id: HexBytes
    issued: Micros


class Refusal(Payload):
    """Centre to agent: why a stream is not taken (GC-5003 revoked, GC-5004 no grant, GC-3006 fork, GC-3007
    fenced). `epoch` is the highest used one."""

    type = MessageType.REFUSAL
    agent: Hex32
    session: Hex32
    site: SiteCode
    source: SourceSlug
    epoch: Seq
    code: Annotated[str, Field(pattern=r"^GC-\d{4}$")]


class CentreState(Payload):
    """Retained: whether the centre takes data. `instance` changes with every start of the daemon."""

    type = MessageType.CENTRE_STATE
    online: bool
    instance: Hex32
    time: Micros


class AgentState(Payload):
    """Retained, sealed to the centre: what `edge-agent status` shows."""

    type = MessageType.AGENT_STATE
    agent: Hex32
    time: Micros
    status: dict[str, Any]


class Command(Payload):
    """Centre to agent. Obeyed within `[remote] allow`, once, until it expires; answered in any case."""

    type = MessageType.COMMAND
    agent: Hex32
    id: Hex32
    name: Annotated[str, Field(pattern=r"^[a-z-]{1,32}$")]
    arguments: dict[str, str]
    issued: Micros
    expires: Micros


class Answer(Payload):
    """Agent to centre: what became of a command."""

    type = MessageType.ANSWER
    agent: Hex32
    id: Hex32
    done: bool
    code: Annotated[str | None, Field(pattern=r"^GC-\d{4}$")] = None
    facts: dict[str, str] = {}


class Enrol(Payload):
    """Agent to centre, sealed: the one-time secret of an invitation, and the keys to put on the roster."""

    type = MessageType.ENROL
    agent: Hex32
    site: SiteCode
    secret: HexBytes
    signing_public: HexBytes
    sources: Annotated[tuple[SourceSlug, ...], Field(strict=False, max_length=256)]
    version: Annotated[str, Field(max_length=64)]
    time: Micros


class Enrolled(Payload):
    """Centre to agent: the answer to an enrolment. Refused without grants, or accepted with them."""

    type = MessageType.ENROLLED
    agent: Hex32
    site: SiteCode
    accepted: bool
    grants: Annotated[tuple[Base64, ...], Field(strict=False, max_length=256)] = ()


class Again(Payload):
    """Centre to agent: its journal lost the receipted envelopes `first` to `last` of this epoch; send them again, the
    last first. `hash` is the chain hash of `last`, `before` that of the sequence before `first`."""

    type = MessageType.AGAIN
    agent: Hex32
    session: Hex32
    site: SiteCode
    source: SourceSlug
    epoch: Epoch
    first: Annotated[int, Field(ge=1, le=SEQ_MAX)]
    last: Annotated[int, Field(ge=1, le=SEQ_MAX)]
    before: HexBytes
    hash: HexBytes


class Gone(Payload):
    """Agent to centre: of what was asked for again it no longer has `seq`."""

    type = MessageType.GONE
    agent: Hex32
    session: Hex32
    site: SiteCode
    source: SourceSlug
    epoch: Epoch
    seq: Annotated[int, Field(ge=1, le=SEQ_MAX)]


@dataclass(frozen=True, slots=True)
class Message:
    """A framed, not yet verified message. `read` after `verify`, never before."""

    suite: int
    type: MessageType
    key_id: bytes
    payload: bytes
    signed: bytes
    signature: bytes


_P = TypeVar("_P", bound=Payload)


def write(payload: Payload, signer: Signer) -> bytes:
    """The message as it travels."""
    return _frame(payload.type, canonical_json(payload.model_dump(mode="json")), signer)


def _frame(type_: MessageType, body: bytes, signer: Signer) -> bytes:
    suite = signer.suite
    key_id = suite.key_id(signer.public)
    head = _HEAD.pack(MAGIC, FORMAT, suite.number, type_, len(key_id))
    signed = b"".join((head, key_id, _U32.pack(len(body)), body))
    signature = signer.sign(DOMAIN + suite.digest(signed))
    data = signed + _U16.pack(len(signature)) + signature
    if len(data) > MESSAGE_BYTES_MAX:
        raise Rejected("GC-5007", reason="message")
    return data


def is_message(data: bytes) -> bool:
    """Whether these bytes claim to be a message (and not an envelope or a sealed one)."""
    return data[:4] == MAGIC


def parse(data: bytes) -> Message:
    """Read the framing. Raises Rejected GC-4004/5007."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise Rejected("GC-5007", reason="message")
    try:
        magic, version, suite, kind, key_length = _HEAD.unpack_from(data)
        offset = _HEAD.size + key_length
        key_id = data[_HEAD.size : offset]
        (length,) = _U32.unpack_from(data, offset)
        end = offset + _U32.size + length
        (signature_length,) = _U16.unpack_from(data, end)
        type_ = MessageType(kind)
    except (struct.error, ValueError):
        raise Rejected("GC-4004", reason="framing") from None
    signature = data[end + _U16.size :]
    if magic != MAGIC or version != FORMAT or len(signature) != signature_length:
        raise Rejected("GC-4004", reason="framing")
    return Message(suite, type_, key_id, data[offset + _U32.size : end], data[:end], signature)


def verify(message: Message, suite: Suite, public: bytes) -> None:
    """Raises Rejected GC-5002 unless `public` signed it under `suite`."""
    if message.suite != suite.number or message.key_id != suite.key_id(public):
        raise Rejected("GC-5002")
    if not suite.verify(public, DOMAIN + suite.digest(message.signed), message.signature):
        raise Rejected("GC-5002")


def read(message: Message, model: type[_P]) -> _P:
    """The payload of a verified message. Raises Rejected GC-4004."""
    if message.type is not model.type:
        raise Rejected("GC-4004", reason="type")
    try:
        return model.model_validate_json(message.payload)
    except ValidationError:
        raise Rejected("GC-4004", reason="payload") from None


def write_sealed(payload: Payload, signer: Signer, recipient: Recipient, entropy: bytes) -> bytes:
    """A message whose payload only `recipient` can read; the type is bound into the sealing.

    `entropy` is `sealing.entropy_bytes(signer.suite)` fresh random bytes.
    """
    plain = canonical_json(payload.model_dump(mode="json"))
    return _frame(
        payload.type, seal_blob(signer.suite, recipient, plain, entropy, _context(payload.type)), signer
    )


def read_sealed(message: Message, model: type[_P], suite: Suite, opener: Opener) -> _P:
    """The payload of a message that `write_sealed` made. Raises Rejected GC-4004/5001/5005."""
    plain = open_blob(suite, opener, message.payload, _context(model.type))
    return read(replace(message, payload=plain), model)


def _context(type_: MessageType) -> bytes:
    return DOMAIN + bytes((type_,))
