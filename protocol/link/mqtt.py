"""The link over MQTT 3.1.1, with aiomqtt (the only room that imports it).

3.1.1 because every broker speaks it (amqtt knows nothing newer) and we use nothing of 5. Sessions are clean:
what a broker keeps for us proves nothing (promise 2), so each connection starts from its subscriptions and a
fresh client, and nothing that was pending is resent behind the caller's back.

A silent line is noticed after at most twice the keepalive. aiomqtt connects in a thread that cannot be
cancelled: closing a link in the middle of an attempt waits for that attempt to time out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random as randomness
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from protocol.errors import Permanent, Transient
from protocol.limits import PACKET_BYTES_MAX
from protocol.link.feed import Feed
from protocol.link.link import Connected, Disconnected, LinkEvent, Message, Will

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_QOS = 1
_GOODBYE_SECONDS = 2.0
"""How long a DISCONNECT may queue behind unsent envelopes; then the socket is closed without it."""

_LEFTOVER_PACKETS_MAX = 10_000
"""More packets than a socket's buffer can hold when we hang up."""

_REFUSALS = frozenset({134, 135})
"""CONNACK 4 and 5 of 3.1.1 (bad user name or password, not authorised) as paho's MQTT 5 reason codes."""

_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE")
"""Parts of OpenSSL's names for the TLS alerts (RFC 8446, 6.2) by which a broker refuses our certificate."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Where the broker is and how patient we are. Raises Permanent GC-1003 for what can never work.

    `url` is mqtt://host[:1883] or mqtts://host[:8883], without credentials since it is shown to people.
    Without `ca_file` TLS trusts what the system trusts.
    """

    url: str
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_seconds: int = 30
    backoff_seconds_min: float = 1.0
    backoff_seconds_max: float = 60.0
    inflight_max: int = 32
    connect_seconds_max: float = 10.0

    def __post_init__(self) -> None:
        if (problem := self._problem()) is not None:
            raise Permanent("GC-1003", key="broker.url", path="(configuration)", problem=problem)

    def _problem(self) -> str | None:
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname:
            return "it must be mqtt://host:port or mqtts://host:port"
        try:
            port = parts.port
        except ValueError:
            port = 0
        if port == 0 or parts.path not in ("", "/") or parts.query or parts.fragment:
            return "it must be mqtt://host:port or mqtts://host:port"
        if parts.username is not None:
            return "user and password have keys of their own"
        if (self.cert_file is None) != (self.key_file is None):
            return "a client certificate needs both its file and its key"
        if self.ca_file is not None and not self.tls:
            return "certificates are configured, but mqtt:// is not encrypted; use mqtts://"
        return None

    @property
    def tls(self) -> bool:
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]


class MqttLink:
    """A `Link` to one MQTT broker; `random` spreads the reconnections of many agents."""

    def __init__(
        self,
        settings: MqttSettings,
        subscriptions: Sequence[str],
        will: Will | None,
        random: randomness.Random,
    ) -> None:
        self._settings = settings
        self._subscriptions = tuple(subscriptions)
        self._will = will
        self._backoff = _Backoff(settings.backoff_seconds_min, settings.backoff_seconds_max, random)
        self._feed = Feed(self._run)
        self._up: tuple[aiomqtt.Client, asyncio.Task[None]] | None = None
        self._early: list[Message] = []
        self._failed = "not connected"

    @property
    def connected(self) -> bool:
        return self._up is not None

    def events(self) -> AsyncIterator[LinkEvent]:
        return self._feed.events()

    async def aclose(self) -> None:
        """Say goodbye to the broker (no will is published) and end `events()`."""
        await self._feed.aclose()

    async def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        if self._up is None:
            raise self._unsent(self._failed)
        client, listening = self._up
        publishing = client.publish(topic, payload, _QOS, retain, timeout=math.inf)
        try:
            await _unless_lost(publishing, listening)
        except aiomqtt.MqttError as fault:
            raise self._unsent("connection lost") from fault

    def _unsent(self, reason: str) -> Transient:
        return Transient("GC-4001", broker=f"{self._settings.host}:{self._settings.port}", reason=reason)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            outcome = await self._connect_once()
            self._failed = outcome.reason
            self._feed.put(outcome)
            await asyncio.sleep(self._backoff.pause(lasted_seconds=loop.time() - began))

    async def _connect_once(self) -> Disconnected:
        """One connection from dialling to loss; returns why it ended."""
        overheard = _Overheard()
        try:
            tls = await asyncio.to_thread(self._tls_context) if self._settings.tls else None
        except OSError:
            return Disconnected("GC-4002", "our certificate files cannot be read")
        client = self._client(tls, overheard)
        try:
            await _open(client)
            try:
                await self._converse(client)
            finally:
                await _close(client)
        except (aiomqtt.MqttError, UnicodeError) as fault:
            return _verdict(fault, overheard.alert)
        raise AssertionError("a conversation ends by loss or cancellation")

    def _tls_context(self) -> ssl.SSLContext:
        """Read anew for each connection, so that renewed certificates need no restart. Raises OSError."""
        context = ssl.create_default_context(cafile=self._settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _TidySocket
        if self._settings.cert_file is not None:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(self._settings.cert_file, self._settings.key_file, password=lambda: b"")
        return context

    def _client(self, tls: ssl.SSLContext | None, overheard: logging.Logger) -> aiomqtt.Client:
        settings, will = self._settings, self._will
        client = aiomqtt.Client(
            settings.host,
            settings.port,
            username=settings.username,
            password=settings.password,
            logger=overheard,
            identifier=settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V311,
            will=aiomqtt.Will(will.topic, will.payload, _QOS, will.retain) if will else None,
            clean_session=True,
            timeout=settings.connect_seconds_max,
            keepalive=settings.keepalive_seconds,
            max_inflight_messages=settings.inflight_max,
            tls_context=tls,
            # With Nagle's algorithm an ack over TLS took 42 ms, without it 0.9 ms (measured).
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        _paho(client).connect_timeout = settings.connect_seconds_max
        _bound_packets(client)
        return client

    async def _converse(self, client: aiomqtt.Client) -> None:
        self._early = []
        listening = asyncio.create_task(self._listen(client))
        try:
            await _unless_lost(self._subscribe(client), listening)
            self._up = client, listening
            self._feed.put(Connected())
            for message in self._early:
                self._feed.put(message)
            await listening
        finally:
            self._up = None
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        if not self._subscriptions:
            return
        granted = await client.subscribe([(topic_filter, _QOS) for topic_filter in self._subscriptions])
        if any(_number(code) >= 0x80 for code in granted):
            raise _SubscriptionRefused

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for arrived in client.messages:
            # amqtt 0.12 sends a newcomer the retained messages of other people's subscriptions.
            if any(arrived.topic.matches(topic_filter) for topic_filter in self._subscriptions):
                self._hear(Message(str(arrived.topic), bytes(arrived.payload), arrived.retain))

    def _hear(self, message: Message) -> None:
        if self._up is None:
            self._early.append(message)  # Connected comes first
        else:
            self._feed.put(message)


class _Backoff:
    """Jittered exponential pauses, reset by what lasted longer than the longest of them.

    A connection that is lost at once (two agents with one client id throw each other out) resets nothing.
    """

    def __init__(self, seconds_min: float, seconds_max: float, random: randomness.Random) -> None:
        self._min, self._max, self._random = seconds_min, seconds_max, random
        self._ceiling = seconds_min

    def pause(self, *, lasted_seconds: float) -> float:
        if lasted_seconds > self._max:
            self._ceiling = self._min
        seconds = self._random.uniform(self._ceiling / 2, self._ceiling)
        self._ceiling = min(self._max, self._ceiling * 2)
        return seconds


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails, which paho leaves to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class _SubscriptionRefused(aiomqtt.MqttError):
    """The broker let us in, but not to our topics."""


class _Overheard(logging.Logger):
    """The logger we give to paho: prints nothing, remembers the TLS alert that paho tells nobody else.

    In TLS 1.3 a broker refuses a client certificate after the handshake, when paho only reads on.
    """

    def __init__(self) -> None:
        super().__init__("mqtt", logging.ERROR)
        self.alert: ssl.SSLError | None = None

    def handle(self, record: logging.LogRecord) -> None:
        for fact in record.args if isinstance(record.args, tuple) else ():
            if isinstance(fact, ssl.SSLError):
                self.alert = fact


async def _unless_lost(work: Coroutine[Any, Any, object], listening: asyncio.Task[None]) -> None:
    """Await `work`, or raise MqttError as soon as the connection is lost: aiomqtt would let it wait on."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise aiomqtt.MqttError("connection lost")
        task.result()
    finally:
        task.cancel()


async def _open(client: aiomqtt.Client) -> None:
    opening = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait({opening})  # its thread would otherwise leave an open socket behind
        if opening.exception() is None:
            await _close(client)
        else:
            _hang_up(client)
        raise
    except aiomqtt.MqttError:
        _hang_up(client)
        raise


async def _close(client: aiomqtt.Client) -> None:
    client.timeout = _GOODBYE_SECONDS
    try:
        with contextlib.suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)
    finally:
        _hang_up(client)


def _hang_up(client: aiomqtt.Client) -> None:
    """Close the socket if aiomqtt left it open (no CONNACK in time, a goodbye that could not be sent)."""
    paho = _paho(client)
    for _ in range(_LEFTOVER_PACKETS_MAX):
        if (sock := paho.socket()) is None:
            return
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        paho.loop_read()  # reads what had arrived, then the end; paho closes the socket and tells aiomqtt


def _bound_packets(client: aiomqtt.Client) -> None:
    """Hang up on whoever announces a packet that no end of ours sends: MQTT allows 256 MiB, and paho asks the socket
    for all that is left of a packet at once. It has no bound of its own for 3.1.1, so its reading is wrapped."""
    paho = _paho(client)
    receive = paho._sock_recv

    def bounded(size: int) -> bytes:
        if size > PACKET_BYTES_MAX:
            raise ConnectionResetError("a packet larger than any of ours")
        return bytes(receive(size))

    paho._sock_recv = bounded


def _paho(client: aiomqtt.Client) -> Any:
    """The paho client, whose public connect_timeout, socket and loop_read aiomqtt does not hand through."""
    return client._client


def _verdict(fault: Exception, alert: ssl.SSLError | None) -> Disconnected:
    """Which code, and which fixed words, a failed attempt or a lost connection deserves."""
    if isinstance(fault, _SubscriptionRefused):
        return Disconnected("GC-4002", "subscription refused")
    if isinstance(fault, MqttConnectError):
        if _number(fault.rc) in _REFUSALS:
            return Disconnected("GC-4002", "user or password refused")
        return Disconnected("GC-4001", "connection declined")
    cause = alert or fault.__context__  # aiomqtt raises `from None`, which keeps the OSError as context
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Disconnected("GC-4002", "the broker's certificate is not trusted")
    if isinstance(cause, ssl.SSLError) and any(word in (cause.reason or "") for word in _CERTIFICATE_ALERTS):
        return Disconnected("GC-4002", "our certificate was refused")
    return Disconnected("GC-4001", _outage(fault, cause))


def _outage(fault: Exception, cause: BaseException | None) -> str:
    words: list[tuple[type[BaseException], str]] = [
        (ssl.SSLError, "no TLS connection"),
        (socket.gaierror, "host name unknown"),
        (ConnectionRefusedError, "connection refused"),
        (TimeoutError, "no answer"),
        (OSError, "unreachable"),
    ]
    if isinstance(fault, UnicodeError):
        return "host name unknown"
    return next((reason for kind, reason in words if isinstance(cause, kind)), "connection lost")


def _number(code: Any) -> int:
    """paho's reason codes come as plain integers or as objects with a value."""
    return int(getattr(code, "value", code))
