"""What every store promises, on a disk or in a bucket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.store import Store
from tests.objectstores import PAGE, shared_server

NAME = "changes/h1/his/visits-0a1b2c3d/_delta_log/00000000000000000000.json"
LOG, ENTRY = NAME.rsplit("/", 1)


@contextmanager
def local_store() -> Iterator[Store]:
    with TemporaryDirectory() as directory:
        store = LocalStore(Path(directory) / "new" / "lake")
        store.establish()
        yield store


@contextmanager
def object_store() -> Iterator[Store]:
    yield shared_server().store()


STORES: dict[str, Callable[[], AbstractContextManager[Store]]] = {
    "local": local_store,
    "object": object_store,
}


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with STORES[request.param]() as store:
        yield store


def names(store: Store, folder: str = "") -> list[str]:
    return [item.name for item in store.list(folder)]


def test_nothing_is_there(store: Store) -> None:
    assert store.size(NAME) is None
    assert (store.list(""), store.list(LOG)) == ([], [])
    for read in (store.get, store.prove):
        with pytest.raises(FileNotFoundError) as caught:
            read(NAME)
        assert caught.value.errno == 2
    store.delete(NAME)
    store.establish()


@pytest.mark.parametrize("content", [b"", b"{}\n", bytes(range(256)) * 1_000], ids=len)
def test_what_was_given_is_there(store: Store, content: bytes) -> None:
    for name, give in (("a/put", store.put), ("a/created", store.create), ("a/kept", store.keep)):
        give(name, content)
        assert (store.get(name), store.size(name)) == (content, len(content))
    store.sync(["a/put", "a/created", "a/kept", "a/"])
    assert [store.prove(name) for name in ("a/put", "a/created", "a/kept")] == [content] * 3
    assert names(store, "a") == ["created", "kept", "put"]
    assert [item.size for item in store.list("a")] == [len(content)] * 3


def test_put_and_keep_replace(store: Store) -> None:
    for name, give in (("a/put", store.put), ("a/kept", store.keep)):
        give(name, b"first, and longer")
        give(name, b"second")
        assert store.get(name) == b"second"


def test_create_leaves_what_has_the_name(store: Store) -> None:
    store.create(NAME, b"ours")
    with pytest.raises(FileExistsError):
        store.create(NAME, b"theirs")
    store.create(NAME, b"ours")  # asked again because nobody heard the answer
    assert (store.get(NAME), names(store, LOG)) == (b"ours", [ENTRY])
    store.delete(NAME)
    store.create(NAME, b"theirs")
    assert store.get(NAME) == b"theirs"


@pytest.mark.parametrize("attempt", range(2))
def test_of_many_that_create_at_once_one_succeeds(store: Store, attempt: int) -> None:
    contents = [f"writer {one}".encode() * 100 for one in range(16)]
    start, won = threading.Barrier(len(contents)), []

    def race(content: bytes) -> None:
        start.wait()
        try:
            store.create(NAME, content)
        except FileExistsError:
            return
        won.append(content)

    threads = [threading.Thread(target=race, args=(one,)) for one in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.get(NAME)]
    assert names(store, LOG) == [ENTRY]


def test_folders_are_what_their_names_say(store: Store) -> None:
    for name in ("b", "a/x", "a/y/z", "a-b/x", "a/_gc_date=2026-11-01/part 1.parquet", "a/王.json"):
        store.put(name, name.encode())
    assert names(store) == ["a-b/", "a/", "b"]
    assert names(store, "a") == ["_gc_date=2026-11-01/", "x", "y/", "王.json"]
    assert names(store, "a/_gc_date=2026-11-01") == ["part 1.parquet"]
    assert (names(store, "a/x"), names(store, "a/none")) == ([], [])
    assert store.size("a/y") is None
    assert store.get("a/王.json") == "a/王.json".encode()


def test_more_than_one_page_is_listed(store: Store) -> None:
    wanted = [f"{one:04}" for one in range(2 * PAGE + 3)]
    for one in wanted:
        store.put(f"many/{one}", b"")
    assert names(store, "many") == wanted


def test_a_file_is_taken(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * 50_000  # 12.8 MB: more than one part of an upload
    file = tmp_path / "part"
    file.write_bytes(content)
    store.keep("h1/abc", file)
    assert (store.get("h1/abc") == content, store.size("h1/abc")) == (True, len(content))
    assert (file.exists(), names(store, "h1")) == (False, ["abc"])
    file.write_bytes(b"")
    store.keep("h1/empty", file)
    assert (store.size("h1/empty"), file.exists()) == (0, False)


def test_what_moves_is_there_under_one_name(store: Store) -> None:
    store.put("a/old", b"1")
    store.put("b/new", b"2")
    store.move("a/old", "b/c/new")
    store.sync(["b/c/"])
    assert (store.size("a/old"), store.get("b/c/new"), store.get("b/new")) == (None, b"1", b"2")
    with pytest.raises(FileNotFoundError):
        store.move("a/old", "b/c/other")


def test_tidying_leaves_what_is_whole(store: Store) -> None:
    store.create(NAME, b"{}")
    store.put(f"{LOG}/_last_checkpoint", b"{}")
    store.tidy(LOG)
    store.tidy("nowhere")
    assert names(store, LOG) == [ENTRY, "_last_checkpoint"]


Step = tuple[str, str, bytes]


def any_calls(examples: int) -> Callable[..., Any]:
    def decorate(test: Callable[..., None]) -> Any:
        verb = st.sampled_from(["create", "put", "keep", "delete"])
        name = st.sampled_from(["a", "b/c", "b/d", "b/d-e/f"])
        steps = st.lists(st.tuples(verb, name, st.sampled_from([b"", b"1", b"22"])), max_size=12)
        return settings(max_examples=examples, deadline=None)(given(steps=steps)(test))

    return decorate


@any_calls(20)
def test_a_disk_is_a_dictionary(steps: list[Step]) -> None:
    _is_a_dictionary("local", steps)


@any_calls(6)
def test_a_bucket_is_a_dictionary(steps: list[Step]) -> None:
    _is_a_dictionary("object", steps)


def _is_a_dictionary(kind: str, steps: list[Step]) -> None:
    """After any calls the names and contents are those of a plain dictionary."""
    with STORES[kind]() as store:
        held: dict[str, bytes] = {}
        for verb, name, content in steps:
            if verb == "delete":
                store.delete(name)
                held.pop(name, None)
            elif verb == "create" and held.get(name, content) != content:
                with pytest.raises(FileExistsError):
                    store.create(name, content)
            else:
                getattr(store, verb)(name, content)
                held[name] = content
        assert {name: store.get(name) for name in held} == held
        files = {f"b/{name}" for name in names(store, "b") if not name.endswith("/")}
        assert files == {name for name in held if name.rpartition("/")[0] == "b"}
