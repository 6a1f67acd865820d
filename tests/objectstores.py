"""An S3 server for tests: moto's, in a process of its own, behind a layer that breaks things on order.

moto looks whether a key is there and then writes it, so of many conditional puts at once several succeed (see
tests/contracts/test_s3_server.py): the layer lets one conditional put through at a time. Faults are ordered by
a PUT to `/_faults`; each of them counts down, and the layer notes what it was asked.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from central_ingest.landing.bucket import Bucket, Credentials
from central_ingest.landing.objectstore import ObjectStore

from .servers import free_port

START_SECONDS_MAX = 30.0
ACCESS_KEY, SECRET_KEY = "test-key", "test-secret-that-no-log-shows"
FOREVER = 1_000_000
PAGE = 20
"""Keys that it lists at a time (S3 does 1,000)."""


@dataclass(frozen=True)
class Fault:
    """What becomes of the next `times` requests of `method` whose path and query `pattern` finds.

    `do`: a number is answered as HTTP status without doing anything; `fail after` does it and answers 500; `cut`
    closes the connection without doing anything, `cut after` once it is done; `half` sends half of the answer and
    closes; `slow` does nothing and says nothing until other faults are ordered; `slow after` likewise, once it is
    done; `late` does it only then; `overwrite` does it as if it had been asked without a condition.
    """

    do: str
    method: str = "PUT|GET|HEAD|POST|DELETE"
    pattern: str = ""
    times: int = FOREVER


class ObjectServer:
    """The process. One serves all tests of a run; each takes a bucket of its own, or a prefix."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "tests.objectstores", str(self.port), *options]
        environment = os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE), "S3_UPLOAD_PART_MIN_SIZE": "1"}
        self._process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            time.sleep(0.02)
        raise RuntimeError("the S3 server did not start")

    def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()

    def bucket(self) -> str:
        """A new one."""
        name = f"bucket-{uuid.uuid4()}"
        self.ask("PUT", f"/{name}")
        return name

    def store(
        self,
        *,
        bucket: str = "",
        prefix: str = "lake",
        request_seconds: float = 2.0,
        retry_seconds: float = 1.0,
        now: Callable[[], float] = time.monotonic,
    ) -> ObjectStore:
        """At the prefix of a bucket (a new one), with pauses short enough for a test."""
        place = Bucket(
            bucket or self.bucket(),
            prefix,
            endpoint=self.url,
            allow_http=True,
            connect_seconds=1.0,
            request_seconds=request_seconds,
            retry_seconds=retry_seconds,
        )
        return ObjectStore(place, lambda: Credentials(ACCESS_KEY, SECRET_KEY), now)

    def order(self, *faults: Fault) -> None:
        """These and no others from now on."""
        self.ask("PUT", "/_faults", json.dumps([asdict(one) for one in faults]).encode())

    def clear(self) -> None:
        self.order()

    def asked(self) -> list[str]:
        """Method and path of what was asked since the last call."""
        noted: list[str] = json.loads(self.ask("GET", "/_faults"))
        return noted

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One request, whose answer must be a success."""
        status, content = self._answer(method, path, body, {})
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status}")
        return content

    def status(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        return self._answer(method, path, body, headers)[0]

    def _answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        signed = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request"
        }
        with contextlib.closing(connection):
            connection.request(method, path, body, headers | signed)  # moto does not look at the signature
            answer = connection.getresponse()
            return answer.status, answer.read()


@functools.cache
def shared_server() -> ObjectServer:
    """One for all tests of this process, started when the first one asks."""
    server = ObjectServer()
    server.start()
    atexit.register(server.stop)
    return server


# --- the process

Answer = tuple[str, list[tuple[str, str]], bytes]


class Breaking:
    """A WSGI application around moto's."""

    def __init__(self, application: Any, *, one_at_a_time: bool = True) -> None:
        self._application = application
        self._conditional = threading.Lock() if one_at_a_time else contextlib.nullcontext()
        self._lock = threading.Lock()
        self._faults: list[dict[str, Any]] = []
        self._cleared = threading.Event()
        self._late_ones: set[threading.Event] = set()
        self._asked: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == "/_faults":
            return self._order(environ, start_response)
        query = environ["QUERY_STRING"]
        whole = f"{path}?{query}" if query else path
        with self._lock:
            self._asked.append(f"{method} {whole}")
        match self._fault(method, whole):
            case "":
                return self._answer(self._do(environ), start_response)
            case "cut":
                return self._hang_up(environ, b"")
            case "cut after":
                self._do(environ)
                return self._hang_up(environ, b"")
            case "half":
                return self._half(environ)
            case "slow":
                self._cleared.wait()
                return self._hang_up(environ, b"")
            case "slow after":
                self._do(environ)
                self._cleared.wait()
                return self._hang_up(environ, b"")
            case "late":
                return self._late(environ)
            case "overwrite":
                environ.pop("HTTP_IF_NONE_MATCH", None)
                return self._answer(self._do(environ), start_response)
            case "fail after":
                self._do(environ)
                return self._refuse("500", start_response)
            case status:
                _body(environ)
                return self._refuse(status, start_response)

    def _order(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            said, self._asked = self._asked, []
            if environ["REQUEST_METHOD"] == "PUT":
                self._faults = json.loads(_body(environ))
                self._cleared.set()
                self._cleared = threading.Event()
                late, self._late_ones = self._late_ones, set()
            else:
                late = set()
        for done in late:
            done.wait()
        return self._answer(("200 OK", [], json.dumps(said).encode()), start_response)

    def _fault(self, method: str, path: str) -> str:
        with self._lock:
            for one in self._faults:
                if (
                    one["times"] > 0
                    and method in one["method"].split("|")
                    and re.search(one["pattern"], path)
                ):
                    one["times"] -= 1
                    return str(one["do"])
        return ""

    def _do(self, environ: dict[str, Any]) -> Answer:
        said: list[Any] = []
        guard = self._conditional if "HTTP_IF_NONE_MATCH" in environ else contextlib.nullcontext()
        with guard:
            chunks = self._application(
                environ, lambda status, headers, _=None: said.extend([status, headers])
            )
            content = b"".join(chunks)
        return said[0], said[1], content

    def _answer(self, answer: Answer, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(answer[0], answer[1])
        return [answer[2]]

    def _refuse(self, status: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
        code = {"503": "SlowDown", "500": "InternalError", "403": "AccessDenied"}.get(status, "Other")
        content = f"<Error><Code>{code}</Code><Message>as ordered</Message></Error>".encode()
        return self._answer(
            (f"{status} Ordered", [("Content-Type", "application/xml")], content), start_response
        )

    def _late(self, environ: dict[str, Any]) -> Iterable[bytes]:
        environ["wsgi.input"] = io.BytesIO(_body(environ))  # the client does not wait for us
        done = threading.Event()
        with self._lock:
            self._late_ones.add(done)
            cleared = self._cleared
        cleared.wait()
        self._do(environ)
        done.set()
        return self._hang_up(environ, b"")

    def _half(self, environ: dict[str, Any]) -> Iterable[bytes]:
        status, headers, content = self._do(environ)
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        if not any(name.lower() == "content-length" for name, _ in headers):
            lines.append(f"Content-Length: {len(content)}")
        return self._hang_up(environ, "\r\n".join([*lines, "", ""]).encode() + content[: len(content) // 2])

    def _hang_up(self, environ: dict[str, Any], said: bytes) -> Iterable[bytes]:
        connection = environ["werkzeug.socket"]
        with contextlib.suppress(OSError):
            connection.sendall(said)
            connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError


def _body(environ: dict[str, Any]) -> bytes:
    content: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return content


def serve(port: int, *, one_at_a_time: bool) -> None:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    application = Breaking(DomainDispatcherApplication(create_backend_app), one_at_a_time=one_at_a_time)
    make_server(
        "127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler
    ).serve_forever()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]), one_at_a_time="--as-moto-is" not in sys.argv)
