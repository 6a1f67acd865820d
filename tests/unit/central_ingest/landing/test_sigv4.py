"""Our signature against AWS's published examples (S3 API reference, "Signature Calculations for the Authorization
Header")."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from central_ingest.landing.sigv4 import canonical_query, signed_headers

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ({"lifecycle": ""}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            {"prefix": "J", "max-keys": "2"},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_published_examples(query: dict[str, str], signature: str) -> None:
    headers = signed_headers(
        "GET",
        "examplebucket.s3.amazonaws.com",
        "/",
        query,
        region="us-east-1",
        key_id=KEY_ID,
        secret=SECRET,
        token="",
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
    )


def test_a_token_is_signed_and_odd_characters_are_quoted() -> None:
    headers = signed_headers(
        "DELETE", "h", "/a%20b", {}, region="r", key_id="k", secret="s", token="t", now=datetime.now(UTC)
    )
    assert headers["x-amz-security-token"] == "t"
    assert "x-amz-date;x-amz-security-token" in headers["authorization"]
    assert canonical_query({"b": "x/y z", "a": "王", "c": ""}) == "a=%E7%8E%8B&b=x%2Fy%20z&c="
