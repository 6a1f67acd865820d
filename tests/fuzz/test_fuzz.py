"""Every file of the corpus, and thousands of changes of them by seed: a value or a refusal with a code, in bounded
memory, nothing else, and an end. `make fuzz MINUTES=5` goes on from here for as long as it is let (see `__main__`).
"""

from __future__ import annotations

import faulthandler
import random
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.kinds.csvfile import CsvKind
from edge_agent.sources.kinds.kind import Opened
from edge_agent.sources.refused import Refused
from edge_agent.sources.source import TableInfo
from protocol.limits import MIB

from . import corpus, resident
from .damage import MARK
from .scenes import FOLDER, Scene
from .targets import CHANGES, TARGETS, quiet, run

INPUTS = {target: corpus.read(target) for target in TARGETS}
PYTHON_BYTES_MAX = 24 * MIB
"""What one small input may make Python allocate."""
ARROW_BYTES_MAX = 64 * MIB
EXAMPLES, EXAMPLES_OTHERS = {"inner": 150, "folder": 25}, 600
"""`inner` goes through reception, journal and landing each time, `folder` through a source over a dozen files."""
NO_ORIGIN, NO_ORIGIN_OTHERS = {"folder": 5}, 50
MEASURED, MEASURED_OTHERS = {"inner": 20}, 100
FOLDERS_MEASURED, RESIDENT_BYTES_MAX = 12, 128 * MIB
"""Of scenes of up to six files of half a MiB."""
HANG_SECONDS = 300.0
"""Then the process ends, and says where it stood: nothing within Python could end a library's loop."""

RAGGED = Scene({"kind": "csv"}, [{"a.csv": b"id,v\n1\n"}]).to_bytes()

FILES = [pytest.param(target, name, id=f"{target}/{name}") for target in TARGETS for name in INPUTS[target]]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr)
    yield
    faulthandler.cancel_dump_traceback_later()


each_target = pytest.mark.parametrize("target", sorted(TARGETS))


@pytest.mark.parametrize(("target", "name"), FILES)
def test_a_file_of_the_corpus(target: str, name: str) -> None:
    run(target, INPUTS[target][name])


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_changes_of_the_corpus(target: str) -> None:
    """Hypothesis chooses the file and the seed of the changes, and so can shrink and print them."""
    inputs = INPUTS[target]

    @settings(max_examples=EXAMPLES.get(target, EXAMPLES_OTHERS))
    @given(name=st.sampled_from(sorted(inputs)), seed=st.integers(0, 2**32 - 1))
    def changes(name: str, seed: int) -> None:
        run(target, CHANGES[target](inputs[name], random.Random(seed), list(inputs.values())))

    changes()


@each_target
def test_bytes_of_no_origin(target: str) -> None:
    @settings(max_examples=NO_ORIGIN.get(target, NO_ORIGIN_OTHERS))
    @given(data=st.binary(max_size=400))
    def any_bytes(data: bytes) -> None:
        run(target, data)

    any_bytes()


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"folder"}))
def test_memory_is_bounded(target: str) -> None:
    rng, inputs = random.Random(target), list(INPUTS[target].values())
    run(target, inputs[0])  # what is made once for all
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for data in [
            *inputs,
            *(
                CHANGES[target](rng.choice(inputs), rng, inputs)
                for _ in range(MEASURED.get(target, MEASURED_OTHERS))
            ),
        ]:
            tracemalloc.reset_peak()
            held, _ = tracemalloc.get_traced_memory()
            run(target, data)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - held < PYTHON_BYTES_MAX
            assert pa.total_allocated_bytes() - before < ARROW_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_a_folder_takes_bounded_memory() -> None:
    """Resident memory: to trace what Python takes would take longer than to take it."""
    rng, inputs = random.Random(7), list(INPUTS["folder"].values())
    run("folder", inputs[0])  # what is made once for all
    for _ in range(FOLDERS_MEASURED):
        data = CHANGES["folder"](rng.choice(inputs), rng, inputs)
        before = resident.begin()
        run("folder", data)
        assert resident.peak() - before < RESIDENT_BYTES_MAX


def test_the_corpus_is_what_the_script_writes() -> None:
    made = {
        (target, name): data for target, name, data in corpus.made() if len(data) <= corpus.FILE_BYTES_MAX
    }
    held = {
        (target, name): data
        for target in TARGETS
        for name, data in INPUTS[target].items()
        if not name.startswith(corpus.FOUND)
    }
    assert set(held) == set(made)
    arrow = {"batch", "inner", "envelope", "folder"}  # bytes of zstd and Arrow follow their versions
    assert {k: v for k, v in held.items() if k[0] not in arrow} == {
        k: v for k, v in made.items() if k[0] not in arrow
    }


def test_a_finding_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer that finds nothing in a broken decoder is a defect."""
    monkeypatch.setattr("tests.fuzz.targets.decode_piece", lambda data: data[5])
    with pytest.raises(IndexError):
        run("piece", b"")


def _says_content(_: CsvKind, opened: Opened, rule: FileRule) -> Any:
    raise opened.refused(MARK)


def _looks_at_damaged_alone(source: FilesSource) -> list[TableInfo]:
    return [info for info in INVENTORY(source) if info.name.name.startswith(FOLDER)]


def _stumbles(*_: Any) -> None:
    raise ValueError


INVENTORY = FilesSource.inventory
FAULTS: dict[str, tuple[Any, str, Any, str]] = {
    "content in a reason": (CsvKind, "tables", _says_content, "content is said"),
    "a refused file lands nowhere": (
        Refused,
        "problem",
        lambda *_: None,
        "nothing of damaged/a.csv landed",
    ),
    "other bytes": (
        FilesSource,
        "read_object",
        lambda _, sha256, at, count: bytes(count),
        "other bytes under",
    ),
    "neighbours are left out": (FilesSource, "inventory", _looks_at_damaged_alone, "other rows than alone"),
    "another exception": (FilesSource, "token", _stumbles, "^$"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_folder_is_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    place, name, wrong, said = FAULTS[fault]
    run("folder", RAGGED)
    monkeypatch.setattr(place, name, wrong)
    with pytest.raises((AssertionError, ValueError), match=said):
        run("folder", RAGGED)
