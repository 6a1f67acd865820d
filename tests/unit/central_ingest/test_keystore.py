"""Keys: made once, whole or not at all, readable by their owner only."""

from __future__ import annotations

from pathlib import Path

import pytest

from central_ingest.keystore import KeyStore, LiveOpener
from protocol.errors import Permanent, Rejected
from protocol.keys import PrivateKey
from protocol.signing import SUITE_1


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.create()
    return store


def capsule(key: PrivateKey) -> bytes:
    return SUITE_1.encapsulate(key.public, b"k" * 32, b"e" * 32)


def test_keys_are_made_once(keys: KeyStore, tmp_path: Path) -> None:
    first = (keys.signer().public, keys.sealing().public, keys.create_site("h1").public)
    keys.create()
    assert (keys.signer().public, keys.sealing().public, keys.create_site("h1").public) == first
    assert len(set(first)) == 3
    assert keys.sites_seen() == 1
    files = sorted(str(p.relative_to(tmp_path / "keys")) for p in tmp_path.rglob("*") if p.is_file())
    assert files == ["sealing.key", "signing.key", "sites/h1.key"]
    for name in files:
        assert (tmp_path / "keys" / name).stat().st_mode & 0o777 == 0o600


def test_a_draft_that_a_crash_left_is_no_key(keys: KeyStore, tmp_path: Path) -> None:
    (tmp_path / "keys" / "sites").mkdir()
    (tmp_path / "keys" / "sites" / ".h1.key.0011").write_text("")
    key = keys.create_site("h1")
    assert keys.sites_seen() == 1
    assert keys.openers().open_capsule(key.key_id, capsule(key)) == b"k" * 32


@pytest.mark.parametrize("content", ["", "guicang-seal-1:short", "guicang-seal-1:" + "A" * 43, "\xff"])
def test_a_spoilt_key_is_named_and_not_quoted(keys: KeyStore, tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys" / "signing.key"
    path.write_text(content, "latin-1")
    with pytest.raises(Permanent) as caught:
        keys.signer()
    assert (caught.value.code, caught.value.facts) == ("GC-1007", {"path": str(path)})
    assert not content or content not in str(caught.value)


def test_a_key_that_others_can_read_or_that_is_missing(keys: KeyStore, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "sealing.key"
    path.chmod(0o640)
    with pytest.raises(Permanent, match="GC-1007"):
        keys.sealing()
    path.unlink()
    with pytest.raises(Permanent, match="GC-1007"):
        keys.openers()


def test_a_site_is_a_site_code(keys: KeyStore) -> None:
    for name in ("../h1", "", "a/b", "x" * 33):
        with pytest.raises(Rejected):
            keys.create_site(name)


def test_an_opener_notices_sites_that_were_invited_since(keys: KeyStore) -> None:
    first = keys.create_site("h1")
    opener = LiveOpener(keys)
    second = keys.create_site("h2")
    for key in (keys.sealing(), first, second):
        assert opener.open_capsule(key.key_id, capsule(key)) == b"k" * 32
    with pytest.raises(Rejected) as caught:
        opener.open_capsule(b"12345678", capsule(first))
    assert caught.value.code == "GC-5005"
