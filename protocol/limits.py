"""Every bound that both ends must agree on, with its unit and its reason.

What an operator may choose stands in the configuration of his end, never above what stands here.
"""

KIB = 1024
MIB = 1024 * KIB

ENVELOPE_BYTES_MAX = 1 * MIB
"""A whole envelope. Larger publishes are slower, and brokers begin to refuse packets at 2,000,000 bytes."""

PACKET_BYTES_MAX = ENVELOPE_BYTES_MAX + 4 * KIB
"""An MQTT packet around the largest envelope: topic and headers take under 100 bytes. Both ends hang up on a larger
one, and the broker is told to refuse it."""

PLAIN_BYTES_MAX = 8 * MIB
"""An envelope's content after inflation: what a receiver must be ready to hold for one envelope."""

BATCH_PLAIN_BYTES_TARGET = 1 * MIB
"""Where a batch is cut. Chinese visit rows shrink about fourfold: MQTT is fastest at 128-512 KiB."""

BATCH_EXPANDED_BYTES_MAX = 32 * MIB
"""Text and bytes of one batch once its dictionaries are written out: 65,536 rows may all name one long value."""

BATCH_ROWS_MAX = 65_536
"""Rows of one batch, so that ordinals and per-row work of one envelope stay bounded."""

VALUE_INLINE_BYTES_MAX = 64 * KIB
"""A longer value travels ahead of its row, as pieces named by its SHA-256."""

PIECE_BYTES = 512 * KIB
"""Bytes of a large value or file in one envelope: incompressible content still fits ENVELOPE_BYTES_MAX."""

HEADER_BYTES_MAX = 2 * KIB
"""The outer header of an envelope, of any suite: post-quantum capsules of today take about 1.6 KiB."""

BATCH_HEADER_BYTES_MAX = 256 * KIB
"""The JSON that opens the inner part of an envelope."""

SCHEMA_BYTES_MAX = 2 * MIB
"""Canonical JSON of one table: 1,500 columns with comments take about 400 KiB."""

MESSAGE_BYTES_MAX = 256 * KIB
"""A signed message (hello, receipt, grant, state, …)."""

GROUP_BYTES_MAX = 16 * MIB
"""Plain bytes that enter the spool in one transaction, so that neither memory nor a commit grows with the source."""

NESTING_DEPTH_MAX = 16
"""Lists and structs within each other."""

COLUMNS_MAX = 4_096
"""Columns of one table; the widest dialect we know (SQL Server with sparse columns aside) stays below."""

FIELDS_MAX = 8_192
"""Columns of one table together with the lists, structs and fields nested in them: each costs whoever lands a row."""

SEQ_MAX = 2**63 - 1
"""Sequence numbers and epochs are u64 on the wire, but Delta and SQLite hold signed 64 bits."""

SITE_CHARS_MAX = 32
SOURCE_CHARS_MAX = 32
NAME_BYTES_MAX = 1_024
"""A database, schema, table or column name in UTF-8."""

CREDIT_WINDOW_BYTES_MIN = ENVELOPE_BYTES_MAX
"""The centre never opens a window in which no envelope fits, except to close it."""

AGAIN_BYTES = 4 * MIB
"""An agent that is asked for old envelopes sends at least so many bytes of them before it waits to be asked on."""
