"""Large values arrive in pieces: whole and verified, or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing.objects import Objects
from protocol.batch import PieceHeader, decode_piece, encode_piece
from protocol.errors import Rejected, Transient

SITE = "h1"
CONTENT = bytes(range(256)) * 100
SHA = hashlib.sha256(CONTENT).hexdigest()


def header(offset: int, size: int = len(CONTENT), sha: str = SHA) -> PieceHeader:
    return PieceHeader(captured=0, sha256=sha, size=size, offset=offset)


def add(objects: Objects, start: int, end: int) -> bool:
    return objects.add(SITE, header(start), CONTENT[start:end])


def names(root: Path) -> list[str]:
    return sorted(p.name for p in (root / SITE).iterdir())


@pytest.mark.parametrize("last", [1, 100, 8_192, 8_193, 20_000])
def test_the_last_piece_finishes_whatever_its_size(tmp_path: Path, last: int) -> None:
    """A piece smaller than the file's buffer must reach the file before the hash is taken."""
    objects, cut = Objects(tmp_path / "files"), len(CONTENT) - last
    assert add(objects, 0, cut) is False
    assert not objects.has(SITE, SHA)
    assert add(objects, cut, len(CONTENT)) is True
    assert objects.has(SITE, SHA)
    assert objects.read(SITE, SHA) == CONTENT
    assert names(tmp_path / "files") == [SHA]


def test_after_a_crash_pieces_come_again(tmp_path: Path) -> None:
    first = Objects(tmp_path)
    add(first, 0, 10_000)
    add(first, 10_000, 20_000)
    again = Objects(tmp_path)
    assert not again.has(SITE, SHA)
    assert [add(again, at, min(at + 10_000, 25_600)) for at in (0, 10_000, 20_000)] == [False, False, True]
    assert again.read(SITE, SHA) == CONTENT
    assert [add(again, at, min(at + 10_000, 25_600)) for at in (0, 10_000, 20_000)] == [True, True, True]
    assert names(tmp_path) == [SHA]


def test_what_a_crash_tore_is_written_over(tmp_path: Path) -> None:
    (tmp_path / SITE).mkdir()
    (tmp_path / SITE / f".{SHA}.part").write_bytes(b"\0" * 15_000)
    objects = Objects(tmp_path)
    assert [add(objects, 0, 20_000), add(objects, 20_000, 25_600)] == [False, True]
    assert objects.read(SITE, SHA) == CONTENT


def test_another_hash_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    add(objects, 0, 20_000)
    with pytest.raises(Rejected) as caught:
        objects.add(SITE, header(20_000), b"x" * 5_600)
    assert caught.value.code == "GC-5006"
    assert names(tmp_path) == []
    assert [add(objects, 0, 20_000), add(objects, 20_000, 25_600)] == [False, True]


def test_a_missing_piece_is_noticed(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    add(objects, 0, 10_000)
    with pytest.raises(Rejected, match="GC-5006"):
        add(objects, 20_000, 25_600)
    assert not objects.has(SITE, SHA)


@pytest.mark.parametrize("offset", [1, 10_001, 2**40, 2**62])
def test_no_piece_makes_a_hole(tmp_path: Path, offset: int) -> None:
    """Neither a file larger than what was sent, nor an offset that the disk refuses as if it were full."""
    objects, huge = Objects(tmp_path), 2**63 - 1
    objects.add(SITE, header(0, huge), CONTENT[:1] if offset == 1 else CONTENT[:10_000])
    with pytest.raises(Rejected, match="GC-5006"):
        objects.add(SITE, header(offset + (offset == 1), huge), b"x")
    assert (tmp_path / SITE / f".{SHA}.part").stat().st_size <= 10_000


def test_a_piece_out_of_range_is_refused_before_it_comes_here() -> None:
    with pytest.raises(Rejected, match="GC-5007"):
        decode_piece(encode_piece(header(len(CONTENT) - 1), b"xx"))


def test_one_site_never_sees_the_objects_of_another(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    objects.add("h2", header(0), CONTENT)
    assert (objects.has("h2", SHA), objects.has(SITE, SHA)) == (True, False)


def test_a_disk_that_fails_is_transient(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(Transient, match="GC-6005"):
        add(Objects(tmp_path / "files"), 0, 10)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_cut_and_any_repetition_gives_the_content(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(CONTENT) - 1), max_size=4)))
    pieces = list(zip([0, *cuts], [*cuts, len(CONTENT)], strict=True))
    objects = Objects(tmp_path_factory.mktemp("files"))
    for upto in data.draw(st.lists(st.integers(0, len(pieces) - 1), max_size=3)):
        for piece in pieces[:upto]:
            assert add(objects, *piece) is False
    assert [add(objects, *piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert objects.read(SITE, SHA) == CONTENT
