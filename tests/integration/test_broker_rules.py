"""What a client can do at the real mosquitto, under the files of `central-ingest broker-config` and with
certificates of deploy/broker/certificates.sh: its own business, and nothing with anybody else's.

Nothing is waited for in vain: after whatever is forbidden something allowed travels the same way, and what has
not arrived before it never will (MQTT keeps the order of one publisher's messages to one subscriber).
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiomqtt
import pytest

from central_ingest import brokerconfig
from protocol import topics
from protocol.errors import Transient
from protocol.limits import ENVELOPE_BYTES_MAX, PACKET_BYTES_MAX
from protocol.link.link import Connected, Disconnected
from protocol.link.mqtt import MqttLink, MqttSettings
from tests.servers import Mosquitto, free_port, make_certificates, require_server

A, B = "a" * 32, "b" * 32
CENTRE = topics.CENTRE
CERTIFICATES = Path(__file__).parents[2] / "deploy" / "broker" / "certificates.sh"
SENTINEL = b"sentinel"
SECONDS = 20.0
"""A bound for what must arrive; nothing waits for it to pass."""


def certify(folder: Path, *arguments: str) -> None:
    require_server("openssl")
    subprocess.run(["sh", str(CERTIFICATES), *arguments], check=True, cwd=folder, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the authority and everybody's certificates, made as deploy/broker/README.md says."""
    folder = tmp_path_factory.mktemp("authority")
    certify(folder, "authority")
    certify(folder, "server", "localhost")
    certify(folder, "centre")
    for agent in (A, B):
        certify(folder, "request", agent)
        certify(folder, "sign", f"{agent}.csr")
    return folder


class Broker:
    """The broker as configured, and clients of it that are known by a certificate."""

    def __init__(self, authority: Path, folder: Path) -> None:
        self.authority = authority
        self.port = free_port()
        self.folder = folder
        folder.mkdir()
        for name in ("ca.pem", "server.pem", "server.key"):
            (folder / name).write_bytes((authority / name).read_bytes())
        self.configure()
        self.server = Mosquitto(folder / "run", port=self.port, whole=folder / brokerconfig.CONFIG_NAME)

    def configure(self, revoked: Sequence[str] = ()) -> None:
        for name, text in brokerconfig.files(
            port=self.port, directory=self.folder, credit_bytes=256 << 20, revoked=revoked
        ).items():
            (self.folder / name).write_text(text, "utf-8")

    def tls(self, name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority / "ca.pem")
        if name is not None:
            context.load_cert_chain(self.authority / f"{name}.pem", self.authority / f"{name}.key")
        return context

    def client(
        self,
        name: str,
        *,
        client_id: str | None = None,
        username: str | None = None,
        will: aiomqtt.Will | None = None,
        clean: bool = True,
    ) -> aiomqtt.Client:
        """Someone with the certificate of `name`, who says what he likes of himself."""
        return aiomqtt.Client(
            "localhost",
            self.port,
            identifier=client_id or f"guicang-{name}",
            username=username,
            will=will,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=clean,
            timeout=SECONDS,
            tls_context=self.tls(name),
        )

    def link(self, name: str, cert: Path | None, key: Path | None, *filters: str) -> MqttLink:
        """The link as both ends use it."""
        settings = MqttSettings(
            url=f"mqtts://localhost:{self.port}",
            client_id=f"guicang-{name}",
            ca_file=self.authority / "ca.pem",
            cert_file=cert,
            key_file=key,
            connect_seconds_max=2.0,  # so long a refusal takes to be noticed
        )
        return MqttLink(settings, filters, None, random.Random(0))


@pytest.fixture
async def broker(authority: Path, tmp_path: Path) -> AsyncIterator[Broker]:
    one = Broker(authority, tmp_path / "broker")
    await one.server.start()
    yield one
    await one.server.kill()


@asynccontextmanager
async def doomed(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """A connection that the broker may have ended before we do."""
    await client.__aenter__()
    try:
        yield client
    finally:
        with suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)


async def until_sentinel(client: aiomqtt.Client, topic: str) -> list[tuple[str, bytes]]:
    """What arrives before the sentinel on `topic`."""
    seen: list[tuple[str, bytes]] = []
    async with asyncio.timeout(SECONDS):
        async for message in client.messages:
            one = (str(message.topic), bytes(message.payload))
            if one == (topic, SENTINEL):
                return seen
            seen.append(one)
    raise AssertionError("the connection ended before the sentinel")


async def say(client: aiomqtt.Client, topic: str, payload: bytes = SENTINEL, *, retain: bool = False) -> None:
    await client.publish(topic, payload, qos=1, retain=retain)


async def listen(client: aiomqtt.Client, filters: Sequence[str]) -> None:
    await client.subscribe([(one, 1) for one in filters])


def heard_by(name: str) -> list[str]:
    """What each end subscribes to."""
    return [topics.ALL_UP, topics.ALL_STATES] if name == CENTRE else [topics.down(name), topics.CENTRE_STATE]


async def test_both_ends_can_do_their_work(broker: Broker) -> None:
    async with broker.client(CENTRE) as centre, broker.client(A) as a:
        await listen(centre, heard_by(CENTRE))
        await listen(a, heard_by(A))
        await say(a, topics.state(A), b"state", retain=True)
        await say(a, topics.up(A), b"x" * ENVELOPE_BYTES_MAX)
        await say(a, topics.up(A))
        assert await until_sentinel(centre, topics.up(A)) == [
            (topics.state(A), b"state"),
            (topics.up(A), b"x" * ENVELOPE_BYTES_MAX),
        ]
        await say(centre, topics.CENTRE_STATE, b"online", retain=True)
        await say(centre, topics.down(A), b"receipt")
        await say(centre, topics.down(A))
        assert await until_sentinel(a, topics.down(A)) == [
            (topics.CENTRE_STATE, b"online"),
            (topics.down(A), b"receipt"),
        ]


async def test_whoever_comes_later_finds_the_states(broker: Broker) -> None:
    async with broker.client(A) as a:
        await say(a, topics.state(A), b"state", retain=True)
    async with broker.client(CENTRE) as centre:
        await say(centre, topics.CENTRE_STATE, b"online", retain=True)
        await listen(centre, [topics.ALL_STATES])
        seen = [await anext(centre.messages) for _ in range(2)]
        assert {str(m.topic) for m in seen} == {topics.state(A), topics.CENTRE_STATE}
    async with broker.client(B) as b:
        await listen(b, heard_by(B))
        assert str((await anext(b.messages)).topic) == topics.CENTRE_STATE


@pytest.mark.parametrize(
    "topic",
    [
        topics.up(B),
        topics.state(B),
        topics.down(B),
        topics.down(A),
        topics.CENTRE_STATE,
        f"{topics.ROOT}/{A}/x",
        "elsewhere",
    ],
)
async def test_an_agent_cannot_write_what_is_not_its_own(broker: Broker, topic: str) -> None:
    async with AsyncExitStack() as stack:
        centre, a, b = [await stack.enter_async_context(broker.client(name)) for name in (CENTRE, A, B)]
        await listen(centre, [*heard_by(CENTRE), topics.ALL])
        await listen(b, heard_by(B))
        await say(a, topic, b"forged", retain=True)
        await say(a, topics.up(A))
        assert await until_sentinel(centre, topics.up(A)) == []
        await say(centre, topics.down(B))
        assert await until_sentinel(b, topics.down(B)) == []
        later = await stack.enter_async_context(broker.client(A))
        await listen(later, heard_by(A))  # nothing was retained either
        await say(centre, topics.down(A))
        assert await until_sentinel(later, topics.down(A)) == []


@pytest.mark.parametrize(
    "topic_filter",
    [
        "#",
        topics.ALL,
        topics.ALL_UP,
        topics.ALL_STATES,
        topics.ALL_DOWN,
        "+/+/+/+",
        topics.up(B),
        topics.state(B),
        topics.down(B),
        "$SYS/#",
        f"$share/thieves/{topics.ALL_UP}",
        f"$share/thieves/{topics.down(B)}",
    ],
)
async def test_an_agent_hears_nothing_of_others(broker: Broker, topic_filter: str) -> None:
    """mosquitto grants the subscription and applies the rules at delivery, so that is where we look."""
    async with AsyncExitStack() as stack:
        centre, a, b = [await stack.enter_async_context(broker.client(name)) for name in (CENTRE, A, B)]
        await say(b, topics.state(B), b"before", retain=True)
        await listen(b, heard_by(B))
        await listen(a, [topics.down(A)])
        await listen(a, [topic_filter])
        await say(b, topics.state(B), b"after", retain=True)
        await say(b, topics.up(B), b"envelope")
        for _ in range(4):  # a member of a shared subscription would be given some
            await say(centre, topics.down(B), b"receipt")
        await say(centre, topics.down(B))
        assert await until_sentinel(b, topics.down(B)) == [(topics.down(B), b"receipt")] * 4
        await say(centre, topics.down(A))
        assert await until_sentinel(a, topics.down(A)) == []


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("claimed", [f"guicang-{B}", B, "guicang-centre", CENTRE])
async def test_nobody_is_thrown_out_or_impersonated_by_his_client_id(
    broker: Broker, claimed: str, clean: bool
) -> None:
    async with AsyncExitStack() as stack:
        centre = await stack.enter_async_context(broker.client(CENTRE, client_id="guicang-centre"))
        b = await stack.enter_async_context(broker.client(B, client_id=f"guicang-{B}"))
        await listen(centre, heard_by(CENTRE))
        await listen(b, heard_by(B))
        a = await stack.enter_async_context(
            broker.client(A, client_id=claimed, username=claimed.removeprefix("guicang-"), clean=clean)
        )
        await listen(a, [topics.down(A), topics.down(B)])
        await say(a, topics.up(B), b"forged")
        await say(a, topics.up(A))
        assert await until_sentinel(centre, topics.up(A)) == []
        await say(centre, topics.down(B))
        await say(centre, topics.down(A))
        assert await until_sentinel(b, topics.down(B)) == []
        assert await until_sentinel(a, topics.down(A)) == []


@pytest.mark.parametrize("topic", [topics.up(B), topics.state(B), topics.down(B), topics.CENTRE_STATE])
async def test_a_will_is_no_way_round(broker: Broker, topic: str) -> None:
    """A second connection of the same agent ends the first, whose will is due before the second speaks."""
    async with AsyncExitStack() as stack:
        centre, b = [await stack.enter_async_context(broker.client(name)) for name in (CENTRE, B)]
        await listen(centre, heard_by(CENTRE))
        await listen(b, heard_by(B))
        for will in (aiomqtt.Will(topics.up(A), b"will", 1), aiomqtt.Will(topic, b"forged", 1, True)):
            async with doomed(broker.client(A, will=will)), doomed(broker.client(A)) as second:
                await say(second, topics.up(A))
                lawful = [(topics.up(A), b"will")] if will.topic == topics.up(A) else []
                assert await until_sentinel(centre, topics.up(A)) == lawful
        await say(centre, topics.down(B))
        assert await until_sentinel(b, topics.down(B)) == []


async def test_who_is_revoked_while_connected_is_neither_heard_nor_told_from_then_on(broker: Broker) -> None:
    async with AsyncExitStack() as stack:
        centre, a, out = [await stack.enter_async_context(broker.client(name)) for name in (CENTRE, A, B)]
        await listen(centre, heard_by(CENTRE))
        await listen(out, heard_by(B))

        async def heard() -> list[tuple[str, bytes]]:
            await say(out, topics.up(B), b"still here")
            await say(a, topics.up(A))
            return await until_sentinel(centre, topics.up(A))

        assert await heard() == [(topics.up(B), b"still here")]
        broker.configure(revoked=[B])
        broker.server.reload()
        async with asyncio.timeout(SECONDS):
            while await heard():  # a signal is not answered
                pass
        await say(out, topics.state(B), b"still here", retain=True)
        await say(centre, topics.CENTRE_STATE, b"online", retain=True)
        await say(centre, topics.down(B), b"receipt")
        assert await heard() == [(topics.CENTRE_STATE, b"online")]
        assert len(out.messages) == 0  # its last ack came behind whatever had been delivered to it


async def test_a_packet_that_no_end_of_ours_sends_ends_the_connection(
    broker: Broker, authority: Path
) -> None:
    async with broker.client(CENTRE) as centre:
        await listen(centre, heard_by(CENTRE))
        link = broker.link(A, authority / f"{A}.pem", authority / f"{A}.key", *heard_by(A))
        events = link.events()
        async with asyncio.timeout(SECONDS):
            assert await anext(events) == Connected()
            with pytest.raises(Transient):
                await link.send(topics.up(A), b"x" * (PACKET_BYTES_MAX + 1))
            assert isinstance(await anext(events), Disconnected)
        await link.aclose()
        async with broker.client(A) as again:
            await say(again, topics.up(A))
            assert await until_sentinel(centre, topics.up(A)) == []


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's", "the server's", "a self-made one"])
async def test_who_has_no_certificate_of_the_authority_is_refused(
    broker: Broker, authority: Path, tmp_path: Path, whose: str
) -> None:
    cert: Path | None
    key: Path | None
    match whose:
        case "nobody's":
            cert = key = None
        case "a stranger's":
            foreign = make_certificates(tmp_path / "foreign")
            cert, key = foreign.client, foreign.client_key
        case "the server's":
            cert, key = authority / "server.pem", authority / "server.key"
        case _:  # another authority, the right name
            own = tmp_path / "own"
            own.mkdir()
            certify(own, "authority")
            certify(own, "request", A)
            certify(own, "sign", f"{A}.csr")
            cert, key = own / f"{A}.pem", own / f"{A}.key"
    link = broker.link(A, cert, key, *heard_by(A))
    async with asyncio.timeout(SECONDS):
        first = await anext(link.events())
    await link.aclose()
    assert isinstance(first, Disconnected)  # GC-4002, or GC-4001 where a reset overtook the TLS alert


def test_only_an_agent_s_own_name_is_signed(tmp_path: Path) -> None:
    certify(tmp_path, "authority")
    certify(tmp_path, "request", A)
    os.rename(tmp_path / f"{A}.csr", tmp_path / f"{B}.csr")  # A asks to be B
    for arguments in (["sign", f"{B}.csr"], ["sign", "centre.csr"], ["request", "centre"], ["authority"]):
        with pytest.raises(subprocess.CalledProcessError):
            certify(tmp_path, *arguments)
    assert not list(tmp_path.glob("[!c]*.pem"))
