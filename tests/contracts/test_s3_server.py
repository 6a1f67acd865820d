"""The S3 server of the tests keeps the promise that everything else rests on: a conditional put is one of many."""

from __future__ import annotations

import threading

from tests.objectstores import ObjectServer, shared_server

WRITERS = 16
ROUNDS = 8


def winners(server: ObjectServer, path: str) -> list[bytes]:
    """The contents of the writers who were told that theirs stands."""
    start, won = threading.Barrier(WRITERS), []

    def race(content: bytes) -> None:
        start.wait()
        status = server.status("PUT", path, content, {"If-None-Match": "*"})
        if status == 200:
            won.append(content)
        else:
            assert status == 412

    threads = [threading.Thread(target=race, args=(b"%d" % one,)) for one in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_of_many_conditional_puts_at_once_one_succeeds() -> None:
    """moto alone lets up to three of sixteen through, in half of the rounds (start it with `--as-moto-is` to see)."""
    server = shared_server()
    bucket = server.bucket()
    for one in range(ROUNDS):
        path = f"/{bucket}/key-{one}"
        assert winners(server, path) == [server.ask("GET", path)]
