"""A bucket behind TLS whose certificate an authority of the operator's own has signed: `SSL_CERT_FILE` names it to all
three that ask the store (obstore, deltalake, and our own requests about uploads), and without it none of them does."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from central_ingest.landing.bucket import Bucket, Credentials
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.objectstore import ObjectStore, StoreAway
from protocol.errors import Transient
from tests.objectstores import ACCESS_KEY, SECRET_KEY, shared_server
from tests.servers import Certificates, make_certificates

PATH = "changes/h1/his/visits-0a1b2c3d"
CHUNK = 1 << 16


class TlsFront:
    """What stands before a store: it takes TLS off, and passes on the rest."""

    def __init__(self, certificates: Certificates, behind: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.server, certificates.server_key)
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(raw,), daemon=True).start()

    def _pass_on(self, raw: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            raw,
            self._context.wrap_socket(raw, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._behind)) as store,
        ):
            back = threading.Thread(target=_pump, args=(store, client), daemon=True)
            back.start()
            _pump(client, store)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
def front(certificates: Certificates) -> Iterator[TlsFront]:
    server = shared_server()
    server.clear()
    one = TlsFront(certificates, server.port)
    yield one
    one.close()


def test_an_authority_of_our_own_is_believed_where_the_environment_names_it(
    front: TlsFront, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = shared_server().bucket()

    def opened() -> ObjectStore:
        place = Bucket(name, "lake", f"https://localhost:{front.port}", retry_seconds=0.1)
        return ObjectStore(place, lambda: Credentials(ACCESS_KEY, SECRET_KEY))

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for ask in (lambda: opened().put("a", b"1"), lambda: opened().clear_uploads()):
        with pytest.raises(StoreAway):
            ask()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    store = opened()
    dates = pa.array([dt.date(2026, 11, 1)], pa.date32())
    rows = pa.table({"id": pa.array([7], pa.int64()), "_gc_date": dates})
    assert DeltaLake(store).append(PATH, rows, [Txn("h1/his/1", 1)]) == 0
    again = DeltaLake(store)  # opened by deltalake, with a client of its own
    assert again.read(PATH, ["id"])["id"].to_pylist() == [7]
    assert store.clear_uploads() == 0
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Transient, match="GC-6005"):
        DeltaLake(store).read(PATH, ["id"])
