"""Every frozen vector against our code: outcomes exact, and what we write equals what the script wrote.

Bytes that come out of zstd or Arrow are compared only under the versions that made the files; under others
their meaning is compared instead.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from protocol import canonical, messages, sealing
from protocol.batch import (
    Batch,
    BatchHeader,
    decode_batch,
    decode_mark,
    decode_piece,
    encode_batch,
    encode_mark,
    encode_piece,
)
from protocol.change import WIRE_EXTRAS, WIRE_SYSTEM
from protocol.envelope import Kind, Rotation, parse
from protocol.errors import Rejected
from protocol.keys import KeyKind, PrivateKey, opener
from protocol.names import Stream, TableName, agent_id
from protocol.schema import Column, TableSchema, wire_from_json
from protocol.signing import SUITE_1, Ed25519Signer, Opener, Signer, Suite
from tests.vectors import make_vectors
from tests.vectors.dummy_suite import DUMMY_SUITE, DummyOpener, DummySigner

Case = Mapping[str, Any]
FOLDER = Path(make_vectors.__file__).parent


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


NAMES, SCHEMAS, CANONICAL = load("names.json"), load("schemas.json"), load("canonical.json")
ENVELOPES, MESSAGES = load("envelopes.json"), load("messages.json")
SAME_VERSIONS = ENVELOPES["made_with"] == make_vectors.made_with()
SUITES: dict[int, Suite] = {1: SUITE_1, 254: DUMMY_SUITE}
STREAM = Stream(ENVELOPES["site"], ENVELOPES["source"])


def cases(*groups: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for g in groups for c in g])


def key(suite: int, kind: str, name: str, half: str) -> bytes:
    return bytes.fromhex(ENVELOPES["keys"][str(suite)][kind][name][half])


def signer_of(suite: int, name: str) -> Signer:
    secret = key(suite, "signing", name, "secret")
    return Ed25519Signer(secret) if suite == 1 else DummySigner(secret)


def opener_of(suite: int) -> Opener:
    secret = key(suite, "sealing", "site", "secret")
    if suite == 1:
        return opener(PrivateKey(KeyKind.SEALING, secret))
    return DummyOpener({DUMMY_SUITE.key_id(secret): secret})


def recipient_of(suite: int) -> sealing.Recipient:
    return sealing.Recipient(key(suite, "sealing", "site", "public"))


# ---- names, schemas ----


@cases(NAMES["tables"])
def test_table_name(case: Case) -> None:
    assert TableName.from_list(case["table"]).digest == case["digest"]


@cases(NAMES["agents"])
def test_agent_id(case: Case) -> None:
    assert agent_id(bytes.fromhex(case["public"])) == case["agent"]


@cases(SCHEMAS["cases"])
def test_schema(case: Case) -> None:
    content = base64.b64decode(case["content"])
    if case["outcome"] != "ok":
        with pytest.raises(Rejected) as refused:
            TableSchema.from_bytes(content)
        assert refused.value.code == case["outcome"]
        return
    schema = TableSchema.from_bytes(content)
    document = case["document"]
    columns = tuple(
        Column(c["name"], wire_from_json(c["wire"]), c["source_type"], c["meta"]) for c in document["columns"]
    )
    ours = TableSchema(TableName(*document["table"]), columns, tuple(document["key"]), document["meta"])
    assert ours.content == content
    assert schema == ours
    assert schema.fingerprint.hex() == case["fingerprint"]


# ---- canonical rows ----


def arrow(wire: Any, values: list[Any]) -> pa.Array:
    kind = wire_from_json(wire)
    return pa.array([_value(wire, make_vectors.expand(v)) for v in values], kind)


def _value(wire: Any, value: Any) -> Any:
    if value is None:
        return None
    match wire:
        case "float32" | "float64":
            return struct.unpack(">d", bytes.fromhex(value))[0]
        case "binary":
            return bytes.fromhex(value)
        case ["decimal", _, _]:
            return Decimal(value)
        case ["list", item]:
            return [_value(item, make_vectors.expand(v)) for v in value]
        case ["struct", fields]:
            return {f[0]: _value(f[1], v) for f, v in zip(fields, value, strict=True)}
    return value


def entries(asides: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    def binary(entry: dict[str, Any], name: str) -> bytes | None:
        return None if entry[name] is None else bytes.fromhex(entry[name])

    return asides and [e | {n: binary(e, n) for n in ("original", "sha256")} for e in asides]


@cases(CANONICAL["columns"])
def test_canonical_column(case: Case) -> None:
    array = arrow(case["wire"], case["values"])
    assert [make_vectors.sizeable(cell) for cell in canonical.encode_column(array)] == case["cells"]


@cases([CANONICAL["rows"]])
def test_canonical_rows(case: Case) -> None:
    columns = [arrow(wire, [row[i] for row in case["values"]]) for i, wire in enumerate(case["wires"])]
    rows = canonical.encode_rows(columns, case["names"], [entries(a) for a in case["asides"]])
    digests = canonical.digests(rows)
    assert [r.hex() for r in rows] == case["rows"]
    assert [d.hex() for d in digests] == case["digests"]
    secret = bytes.fromhex(case["secret"])
    assert [d.hex() for d in canonical.digests(rows, secret)] == case["keyed_digests"]
    assert canonical.digest(rows[0], secret).hex() == case["keyed_digests"][0]
    assert f"{canonical.add_to_set_hash(0, digests):032x}" == case["set_hash"]


@cases(CANONICAL["bad"])
def test_canonical_refusal(case: Case) -> None:
    with pytest.raises(Rejected) as refused:
        canonical.decode(bytes.fromhex(case["row"]))
    assert refused.value.code == case["outcome"]


# ---- envelopes ----

KNOWN = {s.fingerprint: s for s in map(TableSchema.from_bytes, map(base64.b64decode, ENVELOPES["schemas"]))}


def content_of(kind: Kind, inner: bytes) -> Any:
    match kind:
        case Kind.SCHEMA:
            return TableSchema.from_bytes(inner)
        case Kind.BATCH:
            return decode_batch(inner, KNOWN.get)
        case Kind.MARK:
            return decode_mark(inner)
        case Kind.PIECE:
            return decode_piece(inner)
    return inner


def refusal(data: bytes, suite: int) -> tuple[str, str]:
    """(stage, code) with which an envelope is refused, ("", "ok") where it is not."""
    stage = "parse"
    try:
        envelope = parse(data)
        stage = "verify"
        sealing.verify(envelope, SUITES[suite], key(suite, "signing", "agent", "public"))
        stage = "open"
        inner = sealing.open_inner(envelope, SUITES[suite], opener_of(suite))
        stage = "content"
        content_of(envelope.header.kind, inner)
    except Rejected as rejected:
        return stage, rejected.code
    return "", "ok"


@cases(ENVELOPES["bad"])
def test_bad_envelope(case: Case) -> None:
    assert refusal(base64.b64decode(case["envelope"]), case["suite"]) == (case["stage"], case["outcome"])


@cases(ENVELOPES["good"])
def test_good_envelope(case: Case) -> None:
    data, suite = base64.b64decode(case["envelope"]), SUITES[case["suite"]]
    assert refusal(data, case["suite"]) == ("", "ok")
    envelope = parse(data)
    header = envelope.header
    assert (header.suite, header.kind, header.stream) == (case["suite"], case["kind"], STREAM)
    assert (header.epoch, header.seq, header.last_seq) == (ENVELOPES["epoch"], case["seq"], case["last_seq"])
    assert (header.previous.hex(), header.extension.hex()) == (case["previous"], case["extension"])
    assert envelope.header_bytes.hex() == case["header"]
    assert header.to_bytes() == envelope.header_bytes
    assert envelope.digest(suite).hex() == case["hash"]
    inner = sealing.open_inner(envelope, suite, opener_of(case["suite"]))
    assert inner == base64.b64decode(case["inner"])
    assert header.plain_bytes == len(inner)


@cases(ENVELOPES["good"])
def test_we_seal_the_same_bytes(case: Case) -> None:
    inner = base64.b64decode(case["inner"])
    sealed = sealing.seal(
        Kind(case["kind"]),
        inner,
        sealing.Place(STREAM, ENVELOPES["epoch"], case["seq"], bytes.fromhex(case["previous"])),
        signer=signer_of(case["suite"], "agent"),
        recipient=recipient_of(case["suite"]),
        entropy=bytes.fromhex(case["entropy"]),
        extension=bytes.fromhex(case["extension"]),
    )
    assert (sealed.seq, sealed.last_seq, sealed.kind) == (case["seq"], case["last_seq"], case["kind"])
    if SAME_VERSIONS:
        assert sealed.data == base64.b64decode(case["envelope"])
        assert sealed.hash.hex() == case["hash"]
    else:
        reopened = sealing.open_inner(parse(sealed.data), SUITES[case["suite"]], opener_of(case["suite"]))
        assert reopened == inner


@cases([c for c in ENVELOPES["good"] if c["kind"] in (1, 2, 3, 4) and c["suite"] == 1])
def test_we_encode_the_same_content(case: Case) -> None:
    inner = base64.b64decode(case["inner"])
    content = content_of(Kind(case["kind"]), inner)
    match Kind(case["kind"]):
        case Kind.SCHEMA:
            assert content.content == inner
        case Kind.MARK:
            assert encode_mark(content) == inner
        case Kind.PIECE:
            assert encode_piece(*content) == inner
        case _:
            again = encode_again(content)
            if SAME_VERSIONS:
                assert again == inner
            assert decode_batch(again, KNOWN.get).rows.equals(content.rows)
            assert decode_batch(again, KNOWN.get).header == content.header


def encode_again(batch: Batch) -> bytes:
    header: BatchHeader = batch.header
    system = [f.name for f in WIRE_SYSTEM] + [n for n in WIRE_EXTRAS if n in header.extras]
    return encode_batch(
        batch.schema,
        {name: batch.rows.column(name) for name in system},
        batch.rows.columns[len(system) :],
        captured=header.captured,
        group_end=header.group_end,
        cut=header.cut,
        position=header.position,
    )


@cases([c for c in ENVELOPES["good"] if c["kind"] == Kind.ROTATION])
def test_rotation_is_proven(case: Case) -> None:
    rotation = Rotation.from_bytes(bytes.fromhex(case["extension"]))
    proof = Rotation.proof_bytes(STREAM, ENVELOPES["epoch"], case["seq"], rotation.public)
    assert rotation.public == key(case["suite"], "signing", "next", "public")
    assert SUITES[case["suite"]].verify(rotation.public, proof, rotation.proof)


# ---- messages ----

MODELS = {model.type: model for model in messages.Payload.__subclasses__()}


@cases(MESSAGES["good"])
def test_good_message(case: Case) -> None:
    data = base64.b64decode(case["message"])
    message = messages.parse(data)
    messages.verify(message, SUITES[case["suite"]], key(case["suite"], "signing", "centre", "public"))
    payload = messages.read(message, MODELS[messages.MessageType(case["type"])])
    assert payload.model_dump(mode="json") == case["payload"]
    assert messages.write(payload, signer_of(case["suite"], "centre")) == data


@cases(MESSAGES["bad"])
def test_bad_message(case: Case) -> None:
    stage = "parse"
    with pytest.raises(Rejected) as refused:  # noqa: PT012 - the stage is part of the answer
        message = messages.parse(base64.b64decode(case["message"]))
        stage = "verify"
        messages.verify(message, SUITES[case["suite"]], key(case["suite"], "signing", "centre", "public"))
        stage = "read"
        messages.read(message, messages.Receipt)
    assert (stage, refused.value.code) == (case["stage"], case["outcome"])


@cases(MESSAGES["sealed"])
def test_sealed_message(case: Case) -> None:
    data, suite = base64.b64decode(case["message"]), SUITES[case["suite"]]
    message = messages.parse(data)
    messages.verify(message, suite, key(case["suite"], "signing", "agent", "public"))
    model = MODELS[messages.MessageType(case["type"])]
    payload = messages.read_sealed(message, model, suite, opener_of(case["suite"]))
    assert payload.model_dump(mode="json") == case["payload"]
    ours = messages.write_sealed(
        payload,
        signer_of(case["suite"], "agent"),
        recipient_of(case["suite"]),
        bytes.fromhex(case["entropy"]),
    )
    assert ours == data


@cases(MESSAGES["blobs"])
def test_blob(case: Case) -> None:
    suite, blob = SUITES[case["suite"]], base64.b64decode(case["blob"])
    context, plain = bytes.fromhex(case["context"]), bytes.fromhex(case["plain"])
    if case["outcome"] != "ok":
        with pytest.raises(Rejected) as refused:
            sealing.open_blob(suite, opener_of(case["suite"]), blob, context)
        assert refused.value.code == case["outcome"]
        return
    assert sealing.open_blob(suite, opener_of(case["suite"]), blob, context) == plain
    entropy = bytes.fromhex(case["entropy"])
    assert sealing.seal_blob(suite, recipient_of(case["suite"]), plain, entropy, context) == blob


# ---- the files themselves ----


@pytest.fixture(scope="module")
def rebuilt() -> dict[str, Any]:
    return make_vectors.build()


@pytest.mark.parametrize("name", ["names.json", "schemas.json", "canonical.json", "messages.json"])
def test_files_are_what_the_script_writes(rebuilt: dict[str, Any], name: str) -> None:
    assert rebuilt[name] == load(name)


def test_envelopes_are_what_the_script_writes(rebuilt: dict[str, Any]) -> None:
    """Under other versions of zstd or Arrow the cases and their outcomes are the same, if not their bytes."""
    ours, frozen = rebuilt["envelopes.json"], ENVELOPES
    if SAME_VERSIONS:
        assert ours == frozen
    for group in ("good", "bad"):
        assert [(c["name"], c["outcome"]) for c in ours[group]] == [
            (c["name"], c["outcome"]) for c in frozen[group]
        ]
        for case in ours[group]:
            assert refusal(base64.b64decode(case["envelope"]), case["suite"])[1] == case["outcome"], case[
                "name"
            ]


def test_the_script_imports_nothing_of_ours() -> None:
    source = Path(make_vectors.__file__).read_text(encoding="utf-8")
    assert "protocol" not in {
        line.split()[1].split(".")[0] for line in source.splitlines() if line[:5] in ("from ", "impor")
    }


def test_names_of_cases_are_unique() -> None:
    for group in (ENVELOPES["good"] + ENVELOPES["bad"], MESSAGES["good"] + MESSAGES["bad"], SCHEMAS["cases"]):
        names = [c["name"] for c in group]
        assert len(set(names)) == len(names)


def test_both_suites_have_other_lengths_everywhere() -> None:
    good = {
        s: parse(base64.b64decode(next(c for c in ENVELOPES["good"] if c["suite"] == s)["envelope"]))
        for s in SUITES
    }
    lengths = {
        s: (len(e.header.signing_key), len(e.header.capsule), len(e.signature), len(e.digest(SUITES[s])))
        for s, e in good.items()
    }
    assert all(a != b for a, b in zip(lengths[1], lengths[254], strict=True))
