"""Enrolment at the edge: show the one-time secret, be put on the roster, bring home the first grants.

May be repeated until it succeeds: the centre gives the same agent the same answer again.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from protocol import VERSION, messages, topics
from protocol.enrolment import Token
from protocol.errors import Permanent, Rejected, Transient
from protocol.keys import from_base64
from protocol.link.link import Connected, Disconnected, Link, Message
from protocol.messages import Enrol, Enrolled
from protocol.sealing import entropy_bytes
from protocol.signing import SUITE_1

from .identity import Centre, Identity

ASK_SECONDS = 3.0


async def enrol(
    link: Link,
    identity: Identity,
    centre: Centre,
    token: Token,
    sources: list[str],
    now: int,
    seconds: float,
) -> list[bytes]:
    """Returns the grants as signed. Raises Permanent GC-7002 (refused), GC-7003 (no answer in `seconds`), and
    Transient GC-4001 or Permanent GC-4002 where there was no connection at all."""
    request = Enrol(
        agent=identity.agent,
        site=token.site,
        secret=token.secret,
        signing_public=identity.signer.public.hex(),
        sources=tuple(sources),
        version=VERSION,
        time=now,
    )
    signer = identity.signer
    entropy = secrets.token_bytes(entropy_bytes(SUITE_1))
    data = messages.write_sealed(request, signer, centre.for_messages, entropy)
    asking: asyncio.Task[None] | None = None
    last: Disconnected | None = None
    try:
        async with asyncio.timeout(seconds):
            async for event in link.events():
                match event:
                    case Connected():
                        asking = asyncio.create_task(_ask(link, identity.agent, data))
                    case Disconnected():
                        last = event
                    case Message(_, payload) if (answer := _answer(payload, identity, centre)) is not None:
                        if not answer.accepted:
                            raise Permanent("GC-7002")
                        return [from_base64(grant) for grant in answer.grants]
    except TimeoutError:
        if asking is None and last is not None:
            kind = Permanent if last.code == "GC-4002" else Transient
            raise kind(last.code, broker=centre.broker, reason=last.reason) from None
    finally:
        if asking is not None:
            asking.cancel()
        await link.aclose()
    raise Permanent("GC-7003", seconds=int(seconds))


async def _ask(link: Link, agent: str, data: bytes) -> None:
    """Ask, and ask again: the centre may be away, or the broker may have dropped it."""
    while True:
        with suppress(Transient):
            await link.send(topics.up(agent), data)
        await asyncio.sleep(ASK_SECONDS)


def _answer(payload: bytes, identity: Identity, centre: Centre) -> Enrolled | None:
    """The answer to us, if this is it and the centre of the token signed it."""
    try:
        message = messages.parse(payload)
        messages.verify(message, SUITE_1, centre.signing_public)
        answer = messages.read(message, Enrolled)
    except Rejected:
        return None
    return answer if answer.agent == identity.agent else None
