"""What both ends must agree on.

Everything here is pure: clock, randomness and bytes come in as arguments, and nothing imports
asyncio, sockets or the disk. The one exception is `protocol.link`, the carriage.
"""

VERSION = "0.1.0"
