"""The corpus: small files, one folder a target. `python -m tests.fuzz.corpus` writes what comes from our own builders
and the frozen vectors; what fuzzing found lies beside it under `found-…` and stays.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from protocol.messages import Hello, write
from tests.hostile.forging import batch_of, body_of, head_of, inner
from tests.unit.central_ingest.sender import VISITS, Sender, a_batch, a_piece
from tests.unit.central_ingest.test_reception import enrol, hello, state
from tests.unit.protocol.test_vectors import ENVELOPES, MESSAGES, SCHEMAS

from .specimens import sound_scenes
from .targets import KINDS, good_envelopes

FOLDER = Path(__file__).parent / "corpus"
FILE_BYTES_MAX = 16_384
FOUND = "found-"


def read(target: str) -> dict[str, bytes]:
    """Name to bytes."""
    return {path.name: path.read_bytes() for path in sorted((FOLDER / target).iterdir())}


def made() -> Iterator[tuple[str, str, bytes]]:
    """Target, name and bytes of every file that the script writes."""
    for number, (kind, sealed, plain) in enumerate(good_envelopes()):
        yield "envelope", f"good-{number:02}-{kind.name.lower()}", sealed
        if kind in KINDS:
            yield kind.name.lower(), f"good-{number:02}", plain
            yield "inner", f"good-{number:02}-{kind.name.lower()}", bytes((KINDS.index(kind),)) + plain
    for number, case in enumerate(ENVELOPES["bad"]):
        yield "envelope", f"bad-{number:02}", base64.b64decode(case["envelope"])
    for number, case in enumerate(SCHEMAS["cases"]):
        yield "schema", f"case-{number:02}", base64.b64decode(case["content"])
    for group in ("good", "bad"):
        for number, case in enumerate(MESSAGES[group]):
            yield "message", f"{group}-{number:02}", base64.b64decode(case["message"])
    agent = Sender(1)
    yield "message", "hello", hello(agent, b"no grant", wants=("his",))
    yield (
        "message",
        "empty-hello",
        write(Hello(agent=agent.agent, session="5" * 32, version="", time=1), agent.signer),
    )
    yield "message", "state", state(agent, {"sources": [{"source": "his", "fresh_as_of": 1}]})
    yield "message", "enrol", enrol(agent)
    yield "inner", "visits", b"\1" + a_batch(VISITS, [1, 2, 3])
    yield "inner", "piece", b"\3" + a_piece("0" * 64, 30, 0, b"x" * 10)
    yield from crashers()
    for what, scene in sound_scenes().items():
        yield "folder", what.replace(" ", "-"), scene
    numbers = pa.RecordBatch.from_pydict(
        {"id": pa.array([1, None]), "name": pa.array(["a", "b"]).dictionary_encode()}
    )
    yield "inner", "visits-dictionary", b"\1" + batch_of(VISITS, numbers)


def crashers() -> Iterator[tuple[str, str, bytes]]:
    """What once ended the daemon, stopped all landing or was read out of alignment."""
    yield "envelope", "crasher-gap-hash", Sender(1).gap(4, b"r" * 200)
    yield "inner", "crasher-piece-hole", b"\3" + a_piece("0" * 64, 2**63 - 1, 2**62, b"x")
    yield "inner", "crasher-piece-sparse", b"\3" + a_piece("0" * 64, 2**40, 2**40 - 1, b"x")
    visits = a_batch(VISITS, [1, 2, 3])
    body = body_of(visits)
    size = int.from_bytes(body[4:8], "little")
    odd = body[:4] + (size + 1).to_bytes(4, "little") + body[8 : 8 + size] + b"\0" + body[8 + size :]
    yield "inner", "crasher-arrow-alignment", b"\1" + inner(head_of(visits), odd)


def write_all() -> int:
    """Write what is made, and leave what was found."""
    count = 0
    for target, name, data in made():
        if len(data) > FILE_BYTES_MAX:
            continue
        (FOLDER / target).mkdir(parents=True, exist_ok=True)
        (FOLDER / target / name).write_bytes(data)
        count += 1
    return count


def keep(target: str, data: bytes) -> Path:
    """A finding, under the hash of its bytes."""
    path = FOLDER / target / f"{FOUND}{hashlib.blake2b(data, digest_size=6).hexdigest()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    print(write_all(), "files")
