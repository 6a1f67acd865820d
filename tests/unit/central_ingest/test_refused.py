"""Samples of what was refused: a few, bounded whoever sends, and never in anybody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from central_ingest.refused import (
    AGAIN_MICROS,
    FOLDERS_MAX,
    SAMPLE_BYTES_MAX,
    SAMPLES_MAX,
    STRANGERS,
    Refused,
    samples,
)
from protocol import topics

from .test_reception import Centre

AGENT = "a" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "refused"


def test_a_sample_has_its_reason_and_its_first_bytes(root: Path) -> None:
    payload = b"\n" + bytes(range(256)) * 300
    Refused(root).keep(AGENT, "GC-5001", "magic", payload, 7)
    ((path, one),) = samples(root)
    assert (one.agent, one.code, one.reason, one.time, one.bytes) == (
        AGENT,
        "GC-5001",
        "magic",
        7,
        len(payload),
    )
    _, _, kept = path.read_bytes().partition(b"\n")
    assert kept == payload[:SAMPLE_BYTES_MAX]
    assert path.stat().st_mode & 0o077 == 0


def test_the_oldest_makes_way_once_a_minute(root: Path) -> None:
    refused = Refused(root)
    for now in range(100):
        refused.keep(AGENT, "GC-5002", "", b"x", AGAIN_MICROS + now)
    assert [one.time - AGAIN_MICROS for _, one in samples(root)] == [1, 2, 3, 4, 5, 6, 7, SAMPLES_MAX]
    refused.keep(AGENT, "GC-5001", "", b"x", 3 * AGAIN_MICROS)
    kept = [one for _, one in samples(root)]
    assert (len(kept), kept[0].time - AGAIN_MICROS, kept[-1].code) == (SAMPLES_MAX, 2, "GC-5001")


def test_strangers_share_one_small_folder(root: Path) -> None:
    refused = Refused(root)
    for now in range(3 * SAMPLES_MAX):
        refused.keep(None, "GC-5003", "", b"x", now)
    assert [path.name for path in root.iterdir()] == [STRANGERS]
    assert len(list(samples(root))) == SAMPLES_MAX


def test_so_do_agents_beyond_a_number(root: Path) -> None:
    refused = Refused(root)
    for number in range(FOLDERS_MAX + 5):
        refused.keep(f"{number:032x}", "GC-5002", "", b"x", number)
    assert len(list(root.iterdir())) == FOLDERS_MAX + 1


def test_a_disk_that_fails_hinders_nobody(root: Path) -> None:
    root.write_text("a file in its place")
    Refused(root).keep(AGENT, "GC-5001", "", b"x", 1)
    assert list(samples(root)) == []


def test_reception_keeps_samples_by_who_is_on_the_roster(root: Path) -> None:
    centre = Centre()
    centre.reception._refused = Refused(root)
    stranger = "f" * 32
    centre.raw([(topics.up(centre.a.agent), b"garbage"), (topics.up(stranger), b"more"), ("what/ever", b"x")])
    assert sorted((one.agent, one.bytes) for _, one in samples(root)) == sorted(
        [(centre.a.agent, 7), (STRANGERS, 4), (STRANGERS, 1)]
    )
    assert centre.metrics.refused.total() == 3
