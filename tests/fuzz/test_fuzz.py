"""Every file of the corpus, and thousands of changes of them by seed: a value or a refusal with a code, in bounded
memory, nothing else. `make fuzz MINUTES=5` goes on from here for as long as it is let (see `__main__`).
"""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.limits import MIB

from . import corpus
from .mutations import mutate
from .targets import TARGETS, quiet, run

INPUTS = {target: corpus.read(target) for target in TARGETS}
PYTHON_BYTES_MAX = 24 * MIB
"""What one small input may make Python allocate."""
ARROW_BYTES_MAX = 64 * MIB
EXAMPLES, EXAMPLES_OTHERS = {"inner": 150}, 600
"""`inner` goes through reception, journal and landing each time."""

FILES = [pytest.param(target, name, id=f"{target}/{name}") for target in TARGETS for name in INPUTS[target]]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


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
        run(target, mutate(inputs[name], random.Random(seed), list(inputs.values())))

    changes()


@each_target
@settings(max_examples=50)
@given(data=st.binary(max_size=400))
def test_bytes_of_no_origin(target: str, data: bytes) -> None:
    run(target, data)


@each_target
def test_memory_is_bounded(target: str) -> None:
    rng, inputs = random.Random(target), list(INPUTS[target].values())
    run(target, inputs[0])  # what is made once for all
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for data in [
            *inputs,
            *(mutate(rng.choice(inputs), rng, inputs) for _ in range(100 if target != "inner" else 20)),
        ]:
            tracemalloc.reset_peak()
            held, _ = tracemalloc.get_traced_memory()
            run(target, data)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - held < PYTHON_BYTES_MAX
            assert pa.total_allocated_bytes() - before < ARROW_BYTES_MAX
    finally:
        tracemalloc.stop()


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
    arrow = {"batch", "inner", "envelope"}  # bytes of zstd and Arrow follow their versions
    assert {k: v for k, v in held.items() if k[0] not in arrow} == {
        k: v for k, v in made.items() if k[0] not in arrow
    }


def test_a_finding_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer that finds nothing in a broken decoder is a defect."""
    monkeypatch.setattr("tests.fuzz.targets.decode_piece", lambda data: data[5])
    with pytest.raises(IndexError):
        run("piece", b"")
