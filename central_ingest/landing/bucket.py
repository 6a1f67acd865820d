"""Where a bucket is, how long its answers may take, and what lets one in. Pure facts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the store is and how long its answers may take. `prefix` has no slash at its ends; `endpoint` is empty for
    AWS itself; `path_style` names the bucket in the path rather than in the host."""

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    path_style: bool = True
    allow_http: bool = False
    connect_seconds: float = 5.0
    request_seconds: float = 30.0
    retry_seconds: float = 15.0

    @property
    def address(self) -> str:
        """Of the host that is asked, with the bucket's name in it where that is not in the path."""
        suffix = ".cn" if self.region.startswith("cn-") else ""
        endpoint = self.endpoint or f"https://s3.{self.region}.amazonaws.com{suffix}"
        scheme, _, host = endpoint.rstrip("/").partition("://")
        return f"{scheme}://{host}" if self.path_style else f"{scheme}://{self.name}.{host}"

    def below(self, folder: str) -> str:
        return "/".join(part for part in (self.prefix, folder.strip("/")) if part)
