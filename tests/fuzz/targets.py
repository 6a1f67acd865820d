"""What is fuzzed: each target takes any bytes and does with them what the product does. Whatever it raises besides
Rejected with a code of its set is a finding; so is what it decodes and cannot write again as it was. `folder` has a
module of its own (`filefolder`), and changes that know files (`damage`).

`inner` and `message` sign the bytes anew first, as an enrolled agent that lies would, so that what stands behind
the signature is reached through the real reception and the real lander.
"""

from __future__ import annotations

import atexit
import base64
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pyarrow as pa

from central_ingest.landing import columns
from central_ingest.landing.rows import batch_rows, mark_row
from protocol import messages, topics
from protocol.batch import (
    decode_batch,
    decode_mark,
    decode_piece,
    encode_mark,
    encode_piece,
)
from protocol.envelope import Kind, join, parse
from protocol.errors import Permanent, Rejected
from protocol.keys import opener
from protocol.messages import MessageType
from protocol.schema import TableSchema, wire_from_json, wire_to_json
from protocol.sealing import Recipient, entropy_bytes, open_inner, seal_blob, verify
from protocol.signing import SUITE_1
from tests.hostile.centre import EVIL, Centre
from tests.unit.central_ingest.sender import CENTRE_KEY, SITE_KEY
from tests.unit.protocol.test_vectors import ENVELOPES, KNOWN, MODELS, encode_again

from .damage import damage
from .filefolder import folder
from .mutations import Mutator, mutate
from .specimens import real_scenes

CODES = frozenset({"GC-4004", "GC-5001", "GC-5002", "GC-5003", "GC-5004", "GC-5005", "GC-5006", "GC-5007"})
"""Those of refused bytes."""
INPUTS_PER_CENTRE = 100
"""Then a new one, so that no input meets what thousands before it have left."""
KINDS = (Kind.SCHEMA, Kind.BATCH, Kind.MARK, Kind.PIECE)

_SEALED = (MessageType.AGENT_STATE, MessageType.ENROL)


class Finding(AssertionError):
    """The product did with these bytes what it must not do."""


def envelope(data: bytes) -> None:
    parsed = parse(data)
    if parsed.header.to_bytes() != parsed.header_bytes:
        raise Finding("another header")
    if join(parsed.header_bytes, parsed.cipher, parsed.signature) != data:
        raise Finding("another envelope")
    verify(parsed, SUITE_1, _agent())
    open_inner(parsed, SUITE_1, opener(SITE_KEY))


@cache
def _agent() -> bytes:
    return bytes.fromhex(ENVELOPES["keys"]["1"]["signing"]["agent"]["public"])


def batch(data: bytes) -> None:
    decoded = decode_batch(data, KNOWN.get)
    rows = batch_rows(decoded, 1, 1, 1)
    rows.validate(full=True)
    try:
        columns.fit("changes/x", rows, None)
    except Permanent:
        return  # a type that no column of the lake has: the table is parked
    written = encode_again(decoded)
    again = decode_batch(written, KNOWN.get)
    if again.header != decoded.header or encode_again(again) != written:
        raise Finding("another batch")


def mark(data: bytes) -> None:
    decoded = decode_mark(data)
    if decode_mark(encode_mark(decoded)) != decoded:
        raise Finding("another mark")
    mark_row(decoded, None, 1, 1, 1).validate(full=True)


def piece(data: bytes) -> None:
    header, content = decode_piece(data)
    if decode_piece(encode_piece(header, content)) != (header, content):
        raise Finding("another piece")


def schema(data: bytes) -> None:
    decoded = TableSchema.from_bytes(data)
    if decoded.content != data:
        raise Finding("another schema")
    for column in decoded.columns:
        if wire_from_json(wire_to_json(column.wire)) != column.wire:
            raise Finding("another type")
        pa.nulls(1, column.wire).validate(full=True)


def inner(data: bytes) -> None:
    """One byte for the kind, then what is sealed in an envelope of it, received and landed."""
    centre = _centre()
    kind = KINDS[data[0] % len(KINDS)] if data else Kind.MARK
    sealed = centre.evil.send(kind, data[1:])
    if (centre.evil.agent, "Receipt", centre.evil.head.seq) not in centre.tick(centre.evil, sealed):
        raise Finding("no receipt")
    centre.lander.step(everything=True)
    _only(centre.parked().values())
    if centre.parked():
        centre.ledger.save_low_water({EVIL: centre.journal.end})
        centre.start()


def message(data: bytes) -> None:
    """Any message: read as what it says, written again; and its payload signed anew, to the real reception."""
    parsed = messages.parse(data)
    centre = _centre()
    payload = parsed.payload
    if parsed.type in _SEALED:
        entropy = bytes(entropy_bytes(SUITE_1))
        context = messages._context(parsed.type)
        payload = seal_blob(SUITE_1, Recipient(CENTRE_KEY.public), payload, entropy, context)
    try:
        signed = messages._frame(parsed.type, payload, centre.evil.signer)
    except Rejected:
        return
    centre.reception.process([(topics.up(centre.evil.agent), signed)])
    _only(centre.metrics.refused)
    read = messages.read(parsed, MODELS[parsed.type])
    written = messages.parse(messages.write(read, centre.evil.signer))
    if messages.read(written, MODELS[parsed.type]) != read:
        raise Finding("another message")


def _only(codes: object) -> None:
    if not set(codes) <= CODES:  # type: ignore[call-overload]
        raise Finding(f"codes {codes}")


class _Shared:
    """The centre that `inner` and `message` speak to."""

    folder: tempfile.TemporaryDirectory[str] | None = None
    centre: Centre
    used = INPUTS_PER_CENTRE


def _centre() -> Centre:
    if _Shared.used >= INPUTS_PER_CENTRE:
        _leave()
        _Shared.folder, _Shared.used = tempfile.TemporaryDirectory(), 0
        _Shared.centre = Centre(Path(_Shared.folder.name))
        for known in KNOWN.values():
            _Shared.centre.tick(_Shared.centre.evil, _Shared.centre.evil.send(Kind.SCHEMA, known.content))
    _Shared.used += 1
    return _Shared.centre


@atexit.register
def _leave() -> None:
    if _Shared.folder is not None:
        _Shared.folder.cleanup()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the lander's line about each that it parks; the logger is then as it was found."""
    logger = logging.getLogger("central.lander")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


TARGETS: Mapping[str, Callable[[bytes], str | None]] = {
    f.__name__: f for f in (envelope, batch, mark, message, schema, piece, inner, folder)
}
CHANGES: Mapping[str, Mutator] = dict.fromkeys(TARGETS, mutate) | {"folder": damage}
BEYOND_CORPUS: Mapping[str, Callable[[], list[bytes]]] = {"folder": real_scenes}
"""Inputs that lie outside the repository, where they are there."""


def run(target: str, data: bytes) -> str:
    """The outcome: "", the code of a refusal, or what the target says, word by word. Raises whatever is a finding."""
    try:
        return TARGETS[target](data) or ""
    except Rejected as refused:
        if refused.code not in CODES:
            raise Finding(refused.code) from refused
        return refused.code


def good_envelopes() -> list[tuple[Kind, bytes, bytes]]:
    """Kind, envelope and inner bytes of the frozen vectors of suite 1."""
    return [
        (Kind(c["kind"]), base64.b64decode(c["envelope"]), base64.b64decode(c["inner"]))
        for c in ENVELOPES["good"]
        if c["suite"] == 1
    ]
