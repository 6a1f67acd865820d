"""The keys of one agent and its centre, the same in every test."""

from __future__ import annotations

import secrets

from edge_agent.batching import Seal
from edge_agent.identity import Centre, Identity
from protocol.keys import KeyKind, PrivateKey, opener
from protocol.names import Stream, agent_id
from protocol.sealing import Recipient

AGENT_KEY = PrivateKey(KeyKind.SIGNING, b"a" * 32)
CENTRE_KEY = PrivateKey(KeyKind.SIGNING, b"c" * 32)
CENTRE_SEALING_KEY = PrivateKey(KeyKind.SEALING, b"m" * 32)
SITE_KEY = PrivateKey(KeyKind.SEALING, b"s" * 32)

STREAM = Stream("H1", "his")
IDENTITY = Identity(agent_id(AGENT_KEY.public), AGENT_KEY.signer())
CENTRE = Centre(
    broker="memory",
    ca="",
    site=STREAM.site,
    signing_public=CENTRE_KEY.public,
    sealing_public=CENTRE_SEALING_KEY.public,
    site_sealing_public=SITE_KEY.public,
)
SITE_OPENER = opener(SITE_KEY)
CENTRE_OPENER = opener(CENTRE_SEALING_KEY)
SEAL = Seal(AGENT_KEY.signer(), Recipient(SITE_KEY.public), secrets.token_bytes)
EPOCH_SECRET = b"e" * 32
