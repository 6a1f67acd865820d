"""The token that a data centre hands to a hospital: everything an agent needs to introduce itself.

One line of text, `guicang-token-1:<base64url of JSON>`, that a person copies. It holds a one-time secret, so
it is as good as a password until it was used or has expired.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import Permanent, Rejected
from .keys import from_base64, to_base64
from .messages import Base64, SiteCode
from .schema import canonical_json

PREFIX = "guicang-token-1:"


class Token(BaseModel):
    """What an invitation says. Keys are public ones; `ca` is PEM or empty, `broker` an mqtt(s) URL."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    broker: Annotated[str, Field(max_length=512)]
    ca: Annotated[str, Field(max_length=65_536)] = ""
    site: SiteCode
    centre_signing: Base64
    centre_sealing: Base64
    site_sealing: Base64
    secret: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def to_text(self) -> str:
        return PREFIX + to_base64(canonical_json(self.model_dump(mode="json")))

    @classmethod
    def from_text(cls, text: str) -> Token:
        """Raises Permanent GC-7001, which repeats nothing of the text."""
        text = "".join(text.split())
        try:
            if not text.startswith(PREFIX):
                raise Rejected("GC-5001", reason="token")
            return cls.model_validate_json(from_base64(text[len(PREFIX) :]))
        except (Rejected, ValidationError):
            raise Permanent("GC-7001") from None
