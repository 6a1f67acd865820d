"""What mosquitto 2 must be told: `central-ingest broker-config` writes it, from the topics and bounds of the code.

A client is known by its certificate alone. The common name (CN) becomes user name and client id, so a client
can neither claim another's topics nor throw another out by its client id; each agent's CN is its id, the
centre's is `centre`. Whatever the access rules do not list is denied. The files know nothing of sites.

Source of every option: mosquitto.conf(5) of 2.0. mosquitto answers every subscription with a yes and applies
the read rules when it delivers: a subscription to `#` succeeds and yields nothing of others.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from protocol import topics
from protocol.limits import KIB, PACKET_BYTES_MAX
from protocol.names import check_agent
from protocol.topics import Rule

CONFIG_NAME, RULES_NAME = "mosquitto.conf", "acl"

_QUEUED_BUDGETS = 2
"""Nobody may have more under way than the credit, but what is sent again counts twice."""

_QUEUED_MESSAGE_BYTES = KIB
"""A small message: the bound in bytes is the one that is meant, and 1,000 messages would be the default."""

_CONFIG = """\
# mosquitto 2 for Guicang. Written by `central-ingest broker-config`: run it again instead of editing.
# 由 `central-ingest broker-config` 生成；请重新生成，不要手工修改。

# Who may connect: whoever holds a certificate of this authority, under the CN that stands in it.
listener {port}
cafile {directory}/ca.pem
certfile {directory}/server.pem
keyfile {directory}/server.key
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
allow_zero_length_clientid false
acl_file {directory}/{rules}

# Nothing depends on what a broker remembers: what has no receipt is sent again.
persistence false
retain_available true
check_retain_source true
persistent_client_expiration 1d

# Bounds. Beyond them mosquitto drops without a word, and it is sent again.
max_packet_size {packet_bytes_max}
max_inflight_messages 100
max_queued_bytes {queued_bytes_max}
max_queued_messages {queued_messages_max}
queue_qos0_messages false

set_tcp_nodelay true
log_type error
log_type warning
log_type notice
connection_messages true
"""

_RULES_HEAD = """\
# Access rules of mosquitto 2 for Guicang. Written by `central-ingest broker-config`.
# %u is the CN of the client's certificate. What is not listed is denied.
"""


def files(
    *, port: int, directory: PurePath, credit_bytes: int, revoked: Iterable[str] = ()
) -> dict[str, str]:
    """File name to text. `directory` is where they will stand on the broker's machine, together with `ca.pem`,
    `server.pem` and `server.key`; `credit_bytes` is `credit.budget_bytes`; `revoked` are ids of agents."""
    queued_bytes_max = _QUEUED_BUDGETS * credit_bytes
    config = _CONFIG.format(
        port=port,
        directory=directory,
        rules=RULES_NAME,
        packet_bytes_max=PACKET_BYTES_MAX,
        queued_bytes_max=queued_bytes_max,
        queued_messages_max=queued_bytes_max // _QUEUED_MESSAGE_BYTES,
    )
    return {CONFIG_NAME: config, RULES_NAME: _rules(revoked)}


def _rules(revoked: Iterable[str]) -> str:
    """`pattern` lines hold for everybody, `topic` lines for the user above them; `deny` goes before both."""
    parts = [_RULES_HEAD, "\n", *_lines("pattern", topics.agent_rules("%u"))]
    parts += [f"\nuser {topics.CENTRE}\n", *_lines("topic", topics.centre_rules())]
    for agent in sorted(revoked):
        parts.append(f"\nuser {check_agent(agent)}\ntopic deny {topics.ALL}\n")
    return "".join(parts)


def _lines(keyword: str, rules: Iterable[Rule]) -> Iterable[str]:
    return (f"{keyword} {rule.access} {rule.topic}\n" for rule in rules)
