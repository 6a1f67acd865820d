"""Which store the configuration means, and where its credentials come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from central_ingest.config import Config
from central_ingest.landing.bucket import Bucket
from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.objectstore import ObjectStore
from central_ingest.landing.store import Store
from central_ingest.storing import files_store, lake_store
from protocol.errors import Permanent

GIVEN = "[default]\naws_access_key_id = key\naws_secret_access_key = s%cret;#\n"


@pytest.fixture(autouse=True)
def _no_credentials_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def config(tmp_path: Path, **lake: Any) -> Config:
    return Config(config_version=1, data_dir=tmp_path, lake=lake)


def options(store: Store) -> dict[str, str]:
    return dict(store.locate("changes").options or {})


def test_without_an_address_all_lies_below_the_data_directory(tmp_path: Path) -> None:
    stores = lake_store(config(tmp_path)), files_store(config(tmp_path))
    assert all(isinstance(one, LocalStore) for one in stores)
    assert [one.locate("x").address for one in stores] == [f"{tmp_path}/lake/x", f"{tmp_path}/files/x"]


@pytest.mark.parametrize("url", ["s3://granary/region/lake", "s3://granary/region/lake/"])
def test_a_bucket_holds_tables_and_large_values_apart(tmp_path: Path, url: str) -> None:
    file = tmp_path / "credentials"
    file.write_text(GIVEN)
    loaded = config(tmp_path, url=url, endpoint="https://store.example/", credentials_file=file)
    stores = lake_store(loaded), files_store(loaded)
    assert all(isinstance(one, ObjectStore) for one in stores)
    assert [one.locate("x").address for one in stores] == [
        "s3://granary/region/lake/x",
        "s3://granary/region/lake/files/x",
    ]
    given = options(stores[0])
    assert given["AWS_ENDPOINT_URL"] == "https://store.example"
    assert (given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"]) == ("key", "s%cret;#")
    assert "AWS_SESSION_TOKEN" not in given


def test_credentials_of_the_environment_count_where_no_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = config(tmp_path, url="s3://granary")
    with pytest.raises(Permanent) as caught:
        lake_store(loaded)
    assert (caught.value.code, caught.value.facts["origin"]) == ("GC-1004", "AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert options(lake_store(loaded))["AWS_SESSION_TOKEN"] == "token"


@pytest.mark.parametrize("content", [None, "", "[other]\n", "[default]\naws_access_key_id = key\n", "no ini"])
def test_credentials_that_cannot_be_read_are_named_and_not_quoted(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "credentials"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Permanent) as caught:
        lake_store(config(tmp_path, url="s3://granary", credentials_file=file))
    assert (caught.value.code, caught.value.facts) == (
        "GC-1004",
        {"key": "lake.credentials_file", "origin": str(file)},
    )


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(GIVEN)
    store = lake_store(config(tmp_path, url="s3://granary", credentials_file=file))
    file.write_text(GIVEN.replace("s%cret", "another"))
    assert options(store)["AWS_SECRET_ACCESS_KEY"] == "another;#"


@pytest.mark.parametrize(
    ("endpoint", "path_style", "address"),
    [
        ("", True, "https://s3.cn-north-1.amazonaws.com.cn"),
        ("", False, "https://granary.s3.cn-north-1.amazonaws.com.cn"),
        ("http://127.0.0.1:9000", True, "http://127.0.0.1:9000"),
        ("https://oss-cn-hangzhou.aliyuncs.com/", False, "https://granary.oss-cn-hangzhou.aliyuncs.com"),
    ],
)
def test_where_requests_go(endpoint: str, path_style: bool, address: str) -> None:
    bucket = Bucket("granary", endpoint=endpoint, region="cn-north-1", path_style=path_style)
    assert bucket.address == address
