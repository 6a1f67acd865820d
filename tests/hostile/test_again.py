"""An agent that is asked for what the journal lost and answers with something else: refused, counted, asked on; the
right bytes are taken all the same, and nobody else waits.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol import messages
from protocol.batch import encode_mark
from protocol.envelope import Kind, parse
from protocol.messages import Gone
from protocol.sealing import Place
from protocol.signing import Ed25519Signer
from tests.unit.central_ingest.sender import SESSION, VISITS, a_mark

from .centre import EVIL, Centre

STRANGER = Ed25519Signer(b"f" * 32)


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    """Of what evil sent, sequence 2 has rotted before it landed; evil is asked for it."""
    one = Centre(tmp_path)
    marks = [one.evil.mark(number) for number in range(3)]
    one.tick(one.evil, *marks)
    one.reception.remember()
    entries = list(one.journal.read())
    (number,) = (n for n, entry in enumerate(entries) if entry.envelope == marks[1])
    one.store.rot(entries[number].offset, entries[number + 1].offset)
    one.start()
    one.land()
    assert (one.evil.agent, "Again", 2) in one.greet(one.evil)
    one.before = one.book()
    return one


def fills(centre: Centre) -> None:
    """The right one is taken, once, and evil's landing goes on."""
    assert centre.lander.streams_behind == 1
    centre.tick(centre.evil, centre.evil.sent[2], centre.evil.sent[2])
    centre.land()
    centre.land()
    assert [e.envelope for e in centre.journal.read()].count(centre.evil.sent[2]) == 1
    assert [seq for _, seq, _ in centre.versions(EVIL, VISITS.table)] == [1, 2, 3]
    assert centre.lander.streams_behind == 0


def test_other_bytes_under_the_same_sequence(centre: Centre) -> None:
    previous = parse(centre.evil.sent[2]).header.previous
    inner = encode_mark(a_mark(VISITS.table, 99))
    other = centre.evil.seal(Kind.MARK, inner, place=Place(EVIL, 1, 2, previous)).data
    assert centre.refuses(*centre.up(other, other), code="GC-6036") == []
    fills(centre)


def test_a_gap_that_claims_to_stand_for_it(centre: Centre) -> None:
    previous, after = (parse(centre.evil.sent[seq]).header.previous for seq in (2, 3))
    head, centre.evil.head = centre.evil.head, centre.evil.head.__class__(1, 1, previous)
    kept = centre.evil.sent[2]
    gap = centre.evil.gap(2, after)
    centre.evil.head, centre.evil.sent[2] = head, kept
    assert centre.refuses(*centre.up(gap), code="GC-6036") == []
    fills(centre)


def test_another_signature_under_it(centre: Centre) -> None:
    data = centre.evil.sent[2]
    assert centre.refuses(*centre.up(data[:-1] + bytes((data[-1] ^ 1,))), code="GC-5002") == []
    fills(centre)


def test_envelopes_of_another_agent(centre: Centre) -> None:
    assert centre.refuses(*centre.up(centre.honest.sent[1]), code="GC-5002") == []
    fills(centre)


def gone(centre: Centre, signer: Ed25519Signer, session: str = SESSION, seq: int = 2) -> bytes:
    names = {"agent": centre.evil.agent, "site": EVIL.site, "source": EVIL.source, "session": session}
    return messages.write(Gone(**names, epoch=1, seq=seq), signer)


def test_forged_and_old_words_that_it_is_gone(centre: Centre) -> None:
    assert centre.refuses(*centre.up(gone(centre, STRANGER)), code="GC-5002") == []
    signer = centre.evil.signer
    old = centre.up(gone(centre, signer, "0" * 32), gone(centre, signer, seq=1))
    assert centre.refuses(*old, code="GC-4004") == []
    fills(centre)
