"""What interrupted uploads left in a bucket: parts that nobody sees and somebody pays for.

An upload in parts that a crash interrupted stays in the bucket until it is completed or given up, and no listing
of objects shows it. obstore can neither list nor give up such uploads, so this speaks S3's API itself
(ListMultipartUploads, AbortMultipartUpload). Uploads younger than a day may be under way and are left alone.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from . import sigv4

LEFT_AFTER = timedelta(days=1)
_ANSWER_BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    key: str
    upload_id: str
    begun: datetime


@dataclass(frozen=True, slots=True)
class Api:
    """`address` is that of the bucket: scheme, host and, where the bucket is in the path, `/bucket`."""

    address: str
    region: str
    key_id: str
    secret: str
    token: str
    seconds: float

    def __repr__(self) -> str:
        return f"Api({self.address!r})"

    def ask(self, method: str, path: str, query: dict[str, str]) -> bytes:
        """Raises OSError, ConnectionError for an answer that is none of success."""
        place = urlsplit(self.address)
        whole = (place.path.rstrip("/") + quote(path, safe="/-_.~")) or "/"
        headers = sigv4.signed_headers(
            method,
            place.netloc,
            whole,
            query,
            region=self.region,
            key_id=self.key_id,
            secret=self.secret,
            token=self.token,
            now=datetime.now(UTC),
        )
        connection = self._connect(place.scheme, place.netloc)
        try:
            connection.request(method, f"{whole}?{sigv4.canonical_query(query)}", headers=headers)
            answer = connection.getresponse()
            content = answer.read(_ANSWER_BYTES_MAX)
        except http.client.HTTPException as error:
            raise ConnectionError(type(error).__name__) from None
        finally:
            connection.close()
        if answer.status == http.client.NOT_FOUND and method == "DELETE":
            return b""
        if not http.client.OK <= answer.status < http.client.MULTIPLE_CHOICES:
            raise ConnectionError(f"status {answer.status}")
        return content

    def _connect(self, scheme: str, host: str) -> http.client.HTTPConnection:
        if scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, timeout=self.seconds, context=context)
        return http.client.HTTPConnection(host, timeout=self.seconds)


def give_up_old(api: Api, prefix: str, now: datetime) -> int:
    """Give up every upload below `prefix` that began a day ago or earlier; returns how many."""
    old = [one for one in list(_uploads(api, prefix)) if now - one.begun >= LEFT_AFTER]
    for one in old:
        api.ask("DELETE", f"/{one.key}", {"uploadId": one.upload_id})
    return len(old)


def _uploads(api: Api, prefix: str) -> Iterator[Upload]:
    query = {"uploads": "", "prefix": prefix}
    while True:
        page = _parsed(api.ask("GET", "", query))
        for node in page.iterfind("{*}Upload"):
            begun = datetime.fromisoformat(_text(node, "Initiated"))
            yield Upload(_text(node, "Key"), _text(node, "UploadId"), begun)
        if _text(page, "IsTruncated") != "true":
            return
        query |= {"key-marker": _text(page, "NextKeyMarker")}
        query |= {"upload-id-marker": _text(page, "NextUploadIdMarker")}


def _parsed(answer: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(answer)  # noqa: S314 (of our own store, and bounded)
    except ElementTree.ParseError:
        raise ConnectionError("no answer of S3") from None


def _text(node: ElementTree.Element, name: str) -> str:
    return node.findtext(f"{{*}}{name}") or ""
