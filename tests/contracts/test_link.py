"""What every link promises (protocol/link/link.py), over memory, amqtt, mosquitto and mosquitto with TLS.

MQTT links run through a relay each, so that a connection can break without a goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from central_ingest.broker import EmbeddedBroker
from protocol.errors import Permanent, Transient
from protocol.limits import ENVELOPE_BYTES_MAX
from protocol.link.link import Connected, Disconnected, Link, LinkEvent, Message, Will
from protocol.link.memory import MemoryBroker
from protocol.link.mqtt import MqttLink, MqttSettings
from tests.servers import Certificates, Mosquitto, Relay, free_port, make_certificates, require_server

PATIENCE_SECONDS = 20.0
BIG = random.Random(1).randbytes(ENVELOPE_BYTES_MAX)
"""The largest that either end sends."""


class Ear:
    """Consumes a link's events and lets a test wait for what it needs."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.events: list[LinkEvent] = []
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self.link.events():
            async with self._news:
                self.events.append(event)
                self._news.notify_all()

    @property
    def messages(self) -> list[Message]:
        return [event for event in self.events if isinstance(event, Message)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(condition)

    async def until_connected(self, times: int = 1) -> None:
        await self.until(lambda: sum(isinstance(event, Connected) for event in self.events) >= times)

    async def until_disconnected(self) -> Disconnected:
        def losses() -> list[Disconnected]:
            return [event for event in self.events if isinstance(event, Disconnected)]

        await self.until(lambda: bool(losses()))
        return losses()[0]

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Rig(Protocol):
    """A broker that can be killed, and links to it whose connections can be broken."""

    async def link(
        self, client_id: str, subscriptions: Sequence[str] = (), will: Will | None = None
    ) -> Link: ...

    def cut(self, client_id: str) -> None: ...

    async def kill(self) -> None: ...

    async def restart(self) -> None: ...

    async def aclose(self) -> None: ...


class MemoryRig:
    def __init__(self) -> None:
        self._broker = MemoryBroker()

    async def link(self, client_id: str, subscriptions: Sequence[str] = (), will: Will | None = None) -> Link:
        return self._broker.link(client_id, subscriptions, will)

    def cut(self, client_id: str) -> None:
        self._broker.cut(client_id)

    async def kill(self) -> None:
        self._broker.stop()

    async def restart(self) -> None:
        self._broker.start()

    async def aclose(self) -> None:
        await self._broker.aclose()


class EmbeddedServer:
    """EmbeddedBroker with the verbs of a server process."""

    def __init__(self) -> None:
        self.port = free_port()
        self._broker: EmbeddedBroker | None = None

    async def start(self) -> None:
        self._broker = EmbeddedBroker(port=self.port)
        await self._broker.__aenter__()

    async def kill(self) -> None:
        if self._broker is not None:
            await self._broker.__aexit__(None, None, None)
            self._broker = None


class MqttRig:
    def __init__(self, server: EmbeddedServer | Mosquitto, certificates: Certificates | None = None) -> None:
        self._server = server
        self._certificates = certificates
        self._relays: dict[str, Relay] = {}

    async def link(self, client_id: str, subscriptions: Sequence[str] = (), will: Will | None = None) -> Link:
        relay = self._relays[client_id] = Relay(self._server.port)
        await relay.start()
        return MqttLink(
            mqtt_settings(relay.port, client_id, self._certificates), subscriptions, will, random.Random(7)
        )

    def cut(self, client_id: str) -> None:
        self._relays[client_id].cut()

    async def kill(self) -> None:
        await self._server.kill()

    async def restart(self) -> None:
        await self._server.start()

    async def aclose(self) -> None:
        for relay in self._relays.values():
            await relay.aclose()
        await self._server.kill()


def mqtt_settings(
    port: int,
    client_id: str,
    certificates: Certificates | None = None,
    *,
    show_client_certificate: bool = True,
    password: str | None = None,
) -> MqttSettings:
    shown = certificates if show_client_certificate else None
    return MqttSettings(
        url=f"{'mqtts' if certificates else 'mqtt'}://localhost:{port}",
        client_id=client_id,
        username=client_id if password else None,
        password=password,
        ca_file=certificates.ca if certificates else None,
        cert_file=shown.client if shown else None,
        key_file=shown.client_key if shown else None,
        backoff_seconds_min=0.05,
        backoff_seconds_max=0.2,
        connect_seconds_max=2.0,
    )


def password_file(path: Path, user: str, password: str) -> Path:
    subprocess.run(
        [require_server("mosquitto_passwd"), "-b", "-c", str(path), user, password],
        check=True,
        capture_output=True,
    )
    return path


def tls_options(certificates: Certificates) -> tuple[str, ...]:
    return (
        "allow_anonymous true",
        f"cafile {certificates.ca}",
        f"certfile {certificates.server}",
        f"keyfile {certificates.server_key}",
        "require_certificate true",
    )


@asynccontextmanager
async def mosquitto(folder: Path, *options: str) -> AsyncIterator[Mosquitto]:
    server = Mosquitto(folder, options)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["memory", "embedded", "mosquitto", "mosquitto-tls"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    made: Rig
    if request.param == "memory":
        made = MemoryRig()
    elif request.param == "embedded":
        made = MqttRig(EmbeddedServer())
    elif request.param == "mosquitto":
        made = MqttRig(Mosquitto(tmp_path))
    else:
        pair: Certificates = request.getfixturevalue("certificates")
        made = MqttRig(Mosquitto(tmp_path, tls_options(pair)), pair)
    await made.restart()
    try:
        yield made
    finally:
        await made.aclose()


@pytest.fixture
async def hear() -> AsyncIterator[Callable[[Link], Ear]]:
    """Starts ears, and closes them before the rig goes."""
    async with AsyncExitStack() as stack:

        def start(link: Link) -> Ear:
            ear = Ear(link)
            stack.push_async_callback(ear.aclose)
            return ear

        yield start


Hear = Callable[[Link], Ear]


async def test_connected_comes_before_any_message_and_retained_state_arrives_flagged(
    rig: Rig, hear: Hear
) -> None:
    sender = await rig.link("sender")
    await hear(sender).until_connected()
    await sender.send("state/a", b"kept", retain=True)
    await sender.send("state/b", b"fresh")
    ear = hear(await rig.link("reader", ["state/#"]))
    await ear.until(lambda: bool(ear.messages))
    assert isinstance(ear.events[0], Connected)
    assert ear.messages[0] == Message("state/a", b"kept", retained=True)


async def test_a_fresh_word_is_not_flagged_and_an_empty_one_clears_the_state(rig: Rig, hear: Hear) -> None:
    sender = await rig.link("sender")
    early = hear(await rig.link("early", ["state/+"]))
    await hear(sender).until_connected()
    await early.until_connected()
    await sender.send("state/a", b"kept", retain=True)
    await early.until(lambda: bool(early.messages))
    assert early.messages == [Message("state/a", b"kept", retained=False)]
    await sender.send("state/a", b"", retain=True)
    await sender.send("state/b", b"other", retain=True)
    await early.until(lambda: len(early.messages) == 3)
    late = hear(await rig.link("late", ["state/+"]))
    await late.until(lambda: bool(late.messages))
    assert {message.topic for message in late.messages} == {"state/b"}


async def test_a_link_hears_what_it_subscribed_to_and_nothing_else(rig: Rig, hear: Hear) -> None:
    ears = {
        name: hear(await rig.link(name, filters))
        for name, filters in {"one": ["a/+/c"], "tree": ["a/#"], "plain": ["b"], "none": []}.items()
    }
    sender = await rig.link("sender")
    await hear(sender).until_connected()
    for ear in ears.values():
        await ear.until_connected()
    for topic in ("a/1/c", "a/1/d", "a", "b", "a/1/c/e"):
        await sender.send(topic, topic.encode(), retain=True)
    await ears["one"].until(lambda: len(ears["one"].messages) >= 1)
    await ears["tree"].until(lambda: len(ears["tree"].messages) >= 4)
    await ears["plain"].until(lambda: len(ears["plain"].messages) >= 1)
    assert [m.topic for m in ears["one"].messages] == ["a/1/c"]
    assert sorted(m.topic for m in ears["tree"].messages) == ["a", "a/1/c", "a/1/c/e", "a/1/d"]
    assert [m.topic for m in ears["plain"].messages] == ["b"]
    assert ears["none"].messages == []


async def test_concurrent_sends_leave_in_the_order_of_their_calls(rig: Rig, hear: Hear) -> None:
    reader, sender = hear(await rig.link("reader", ["t"])), await rig.link("sender")
    await hear(sender).until_connected()
    await reader.until_connected()
    payloads = [b"%03d" % number for number in range(200)]
    await asyncio.gather(*(sender.send("t", payload) for payload in payloads))
    await reader.until(lambda: len(reader.messages) >= len(payloads))
    assert [message.payload for message in reader.messages] == payloads


async def test_large_payloads_arrive_intact(rig: Rig, hear: Hear) -> None:
    reader, sender = hear(await rig.link("reader", ["big/+"])), await rig.link("sender")
    await hear(sender).until_connected()
    await reader.until_connected()
    await asyncio.gather(*(sender.send(f"big/{number}", BIG) for number in range(4)))
    await reader.until(lambda: len(reader.messages) >= 4)
    assert [message.topic for message in reader.messages] == [f"big/{number}" for number in range(4)]
    assert all(message.payload == BIG for message in reader.messages)


async def test_the_will_arrives_after_an_abrupt_loss_and_the_link_comes_back(rig: Rig, hear: Hear) -> None:
    reader = hear(await rig.link("reader", ["state/#"]))
    lost_link = await rig.link("lost", [], Will("state/lost", b"gone"))
    lost = hear(lost_link)
    await reader.until_connected()
    await lost.until_connected()
    rig.cut("lost")
    await reader.until(lambda: bool(reader.messages))
    assert reader.messages[0] == Message("state/lost", b"gone", retained=False)
    assert (await lost.until_disconnected()).code == "GC-4001"
    await lost.until_connected(2)
    await lost_link.send("state/lost", b"back")
    await reader.until(lambda: reader.messages[-1].payload == b"back")


async def test_no_will_after_a_goodbye(rig: Rig, hear: Hear) -> None:
    reader, sender = hear(await rig.link("reader", ["#"])), await rig.link("sender")
    leaver = hear(await rig.link("leaver", [], Will("left", b"gone")))
    await hear(sender).until_connected()
    await reader.until_connected()
    await leaver.until_connected()
    await leaver.aclose()
    assert not leaver.link.connected
    await sender.send("after", b"")
    await reader.until(lambda: bool(reader.messages))
    assert [message.topic for message in reader.messages] == ["after"]


async def test_a_killed_broker_is_a_loss_and_its_restart_a_connection(rig: Rig, hear: Hear) -> None:
    link = await rig.link("both", ["t"])
    ear = hear(link)
    await ear.until_connected()
    await rig.kill()
    assert (await ear.until_disconnected()).code == "GC-4001"
    assert not link.connected
    with pytest.raises(Transient) as raised:
        await link.send("t", b"while down")
    assert raised.value.code == "GC-4001"
    await rig.restart()
    await ear.until_connected(2)
    assert link.connected
    await link.send("t", b"again")
    await ear.until(lambda: bool(ear.messages))
    assert [message.payload for message in ear.messages] == [b"again"]
    kinds = [type(event) for event in ear.events]
    last = len(kinds) - 2
    assert kinds == [Connected, *[Disconnected] * (last - 1), Connected, Message]


async def test_a_send_before_the_first_connection_raises_transient(rig: Rig) -> None:
    link = await rig.link("early")
    assert not link.connected
    with pytest.raises(Transient, match="GC-4001"):
        await link.send("t", b"")


async def test_sends_that_are_pending_when_the_connection_drops_end(rig: Rig, hear: Hear) -> None:
    """Each ends, by an ack or by Transient GC-4001, however many wait behind the in-flight bound."""
    link = await rig.link("sender")
    ear = hear(link)
    await ear.until_connected()
    sends = [asyncio.ensure_future(link.send("t", BIG)) for _ in range(60)]
    await asyncio.sleep(0)
    rig.cut("sender")
    async with asyncio.timeout(PATIENCE_SECONDS):
        ends = await asyncio.gather(*sends, return_exceptions=True)
    assert all(end is None or (isinstance(end, Transient) and end.code == "GC-4001") for end in ends)
    await ear.until_connected(2)
    await link.send("t", b"after")


async def test_a_link_has_one_consumer_at_a_time(rig: Rig, hear: Hear) -> None:
    link = await rig.link("one")
    ear = hear(link)
    await ear.until_connected()
    with pytest.raises(RuntimeError):
        await anext(aiter(link.events()))
    await ear.aclose()
    await hear(link).until_connected()


async def test_a_cancelled_send_harms_no_other(rig: Rig, hear: Hear) -> None:
    reader, sender = hear(await rig.link("reader", ["t"])), await rig.link("sender")
    await hear(sender).until_connected()
    await reader.until_connected()
    given_up = asyncio.ensure_future(sender.send("t", b"given up"))
    kept = asyncio.ensure_future(sender.send("t", b"kept"))
    await asyncio.sleep(0)
    given_up.cancel()
    await kept
    await reader.until(lambda: any(message.payload == b"kept" for message in reader.messages))


async def test_a_silent_line_does_not_hold_sends_for_ever(tmp_path: Path, hear: Hear) -> None:
    require_server("mosquitto")
    async with mosquitto(tmp_path, "allow_anonymous true") as server, AsyncExitStack() as stack:
        relay = Relay(server.port)
        await relay.start()
        stack.push_async_callback(relay.aclose)
        settings = MqttSettings(f"mqtt://localhost:{relay.port}", "silent", keepalive_seconds=1)
        link = MqttLink(settings, [], None, random.Random(1))
        ear = hear(link)
        await ear.until_connected()
        relay.stall()
        with pytest.raises(Transient, match="GC-4001"):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await link.send("t", b"into the void")
        assert await ear.until_disconnected() == Disconnected("GC-4001", "connection lost")


async def test_wrong_password_is_a_refusal_and_the_right_one_is_not(tmp_path: Path, hear: Hear) -> None:
    require_server("mosquitto")
    passwords = password_file(tmp_path / "passwords", "clinic", "right")
    async with mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as server:
        refused = hear(
            MqttLink(mqtt_settings(server.port, "clinic", password="wrong"), [], None, random.Random(1))
        )
        assert await refused.until_disconnected() == Disconnected("GC-4002", "user or password refused")
        await refused.aclose()
        admitted = hear(
            MqttLink(mqtt_settings(server.port, "clinic", password="right"), [], None, random.Random(1))
        )
        await admitted.until_connected()
        await admitted.aclose()


async def test_certificates_are_checked_in_both_directions(
    tmp_path: Path, hear: Hear, certificates: Certificates
) -> None:
    strangers = make_certificates(tmp_path / "strangers")
    async with mosquitto(tmp_path, *tls_options(certificates)) as server:
        for settings, reason in (
            (mqtt_settings(server.port, "a", strangers), "the broker's certificate is not trusted"),
            (
                mqtt_settings(server.port, "b", certificates, show_client_certificate=False),
                "our certificate was refused",
            ),
            (
                MqttSettings(f"mqtts://127.0.0.1:{server.port}", "c", ca_file=certificates.ca),
                "the broker's certificate is not trusted",  # it is localhost's, not 127.0.0.1's
            ),
            (
                MqttSettings(f"mqtts://localhost:{server.port}", "d", ca_file=tmp_path / "absent.pem"),
                "our certificate files cannot be read",
            ),
        ):
            ear = hear(MqttLink(settings, [], None, random.Random(1)))
            assert await ear.until_disconnected() == Disconnected("GC-4002", reason)
            await ear.aclose()


async def test_the_socket_sends_without_delay(tmp_path: Path, hear: Hear, certificates: Certificates) -> None:
    for pair, options in ((None, ("allow_anonymous true",)), (certificates, tls_options(certificates))):
        async with mosquitto(tmp_path, *options) as server:
            ear = hear(MqttLink(mqtt_settings(server.port, "nodelay", pair), [], None, random.Random(1)))
            await ear.until_connected()
            options_found = [
                sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                for sock in open_sockets_to(server.port)
            ]
            assert len(options_found) == 1
            assert options_found[0] != 0
            await ear.aclose()


def open_sockets_to(port: int) -> list[socket.socket]:
    """Every socket of this process that is connected to `port`, whoever made it."""
    found = []
    for thing in gc.get_objects():
        if isinstance(thing, socket.socket) and thing.fileno() >= 0 and thing.family == socket.AF_INET:
            with contextlib.suppress(OSError):  # it may be listening only
                if thing.getpeername()[1] == port:
                    found.append(thing)
    return found


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "unreachable"])
async def test_a_broker_that_is_not_there_is_an_outage_and_leaves_no_socket(silent: bool, hear: Hear) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        if silent:
            mute = stack.enter_context(socket.create_server(("127.0.0.1", port)))
            mute.setblocking(False)
        ear = hear(MqttLink(mqtt_settings(port, "lonely"), [], None, random.Random(1)))
        loss = await ear.until_disconnected()
        assert loss == Disconnected("GC-4001", "no answer" if silent else "connection refused")
        await ear.aclose()
        assert open_sockets_to(port) == []


async def test_a_link_that_is_closed_while_it_connects_leaves_no_socket(
    hear: Hear, certificates: Certificates
) -> None:
    """Over TLS the mute server holds it in the handshake, without TLS before the CONNACK."""
    for pair in (None, certificates):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            mute.setblocking(False)
            port = mute.getsockname()[1]
            ear = hear(MqttLink(mqtt_settings(port, "hasty", pair), [], None, random.Random(1)))
            while not open_sockets_to(port):  # noqa: ASYNC110 (the thread that connects tells nobody)
                await asyncio.sleep(0.01)
            await ear.aclose()
            assert ear.events == []
            assert open_sockets_to(port) == []


async def test_a_taken_port_is_told_as_configuration() -> None:
    async with EmbeddedBroker(port=0) as first:
        assert first.port > 0
        with pytest.raises(Permanent, match="GC-1003") as raised:
            await EmbeddedBroker(port=first.port).__aenter__()
        assert raised.value.facts["key"] == "broker.listen"


@pytest.mark.parametrize(
    "url",
    [
        "tcp://host:1883",
        "mqtt://",
        "mqtt://host:0",
        "mqtt://host:99999",
        "mqtt://host:x",
        "mqtt://host/path",
        "mqtt://user:secret@host",
        "host:1883",
        "",
    ],
)
def test_a_url_that_can_never_work_is_told_as_configuration(url: str) -> None:
    with pytest.raises(Permanent, match="GC-1003") as raised:
        MqttSettings(url, "agent")
    assert "secret" not in str(raised.value)


def test_settings_know_the_usual_ports_and_hide_the_password() -> None:
    plain = MqttSettings("mqtt://broker.example", "agent", password="secret")
    assert (plain.host, plain.port, plain.tls) == ("broker.example", 1883, False)
    assert "secret" not in repr(plain)
    tls = MqttSettings("mqtts://[::1]", "agent")
    assert (tls.host, tls.port, tls.tls) == ("::1", 8883, True)
