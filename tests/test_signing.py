"""Signatures are Django's, whatever the secrets are."""

from __future__ import annotations

import pytest
from django.core import signing as djangos
from django.test import override_settings
from django.utils.crypto import salted_hmac

from django_sessionkit import signing

pytestmark = pytest.mark.varies

SECRETS = ["a secret", b"a secret \xff of bytes", "é" * 40]


@pytest.mark.parametrize("secret", SECRETS, ids=["text", "bytes", "not ASCII"])
@pytest.mark.parametrize("text", ["é", b"\xff\x00", ""], ids=["text", "bytes", "empty"])
def test_a_digest_is_djangos(secret: str | bytes, text: str | bytes) -> None:
    expected = salted_hmac("a salt", text, secret, algorithm="sha256").digest()
    assert signing.salted_digest("a salt", text, secret) == expected


@pytest.mark.parametrize("secret", SECRETS, ids=["text", "bytes", "not ASCII"])
def test_each_reads_what_the_other_signs(secret: str | bytes) -> None:
    data = {"cat": "Tom" * 50}
    with override_settings(SECRET_KEY=secret):
        signed = signing.session_signer("a salt").sign_object(data, compress=True)
        assert djangos.loads(signed, salt="a salt") == data
        signed = djangos.dumps(data, salt="a salt", compress=True)
        assert signing.session_signer("a salt").unsign_object(signed) == data


def test_a_signer_knows_the_secrets_of_now() -> None:
    with override_settings(SECRET_KEY="old"):
        signed = signing.session_signer("a salt").sign_object({"cat": "Tom"})
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "old"]):
        assert signing.session_signer("a salt").unsign_object(signed) == {"cat": "Tom"}
    with override_settings(SECRET_KEY="new"), pytest.raises(djangos.BadSignature):
        signing.session_signer("a salt").unsign_object(signed)
    with override_settings(SECRET_KEY="old"), pytest.raises(djangos.BadSignature):
        signing.session_signer("another salt").unsign_object(signed)
