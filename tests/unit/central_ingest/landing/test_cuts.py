"""Where transactions of the sources ended is noted as the lander passes by."""

from __future__ import annotations

from pathlib import Path

from central_ingest.ledger.cuts import Cut
from protocol.batch import encode_mark
from protocol.envelope import Kind

from ..sender import OTHER_STREAM, STREAM, VISITS, Sender, a_batch, a_mark
from .ground import RECEIVED, Ground


def test_the_last_cut_of_a_stream_is_noted_with_its_low_water_mark(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "files")
    sender, other = Sender(1, STREAM), Sender(2, OTHER_STREAM)
    for one in (sender, other):
        ground.begin(one)
    ground.start()
    cut = a_mark(VISITS.table, schema=VISITS).model_copy(update={"group_end": True, "cut": True})
    ground.write(
        sender.send(Kind.SCHEMA, VISITS.content),
        sender.send(Kind.MARK, encode_mark(cut)),
        sender.send(Kind.MARK, encode_mark(cut)),
        sender.send(Kind.BATCH, a_batch(VISITS, [1])),
        other.send(Kind.SCHEMA, VISITS.content),
        other.send(Kind.BATCH, a_batch(VISITS, [1])),
    )
    ground.land()
    assert ground.ledger.cuts.last(STREAM, RECEIVED) == Cut(STREAM, 1, 3, RECEIVED)
    assert ground.ledger.cuts.last(STREAM, RECEIVED - 1) is None
    assert ground.ledger.cuts.last(OTHER_STREAM, RECEIVED) is None
