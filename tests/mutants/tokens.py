"""Faults in the formats of tokens."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        name="only the algorithm of a JWT's header is checked, not its type or other members",
        file="tokens/jwt.py",
        old="if header != self._headers[kid]:",
        new='if header.get("alg") != self._headers[kid]["alg"]:',
        tests=("tests/tokens/test_jwt_headers.py",),
    ),
    Mutant(
        name="the result of validating a JWT's signature is not looked at",
        file="tokens/jwt.py",
        old="if not jws.validate_compact(signature, key, registry=self._registry):",
        new="if jws.validate_compact(signature, key, registry=self._registry) is None:",
        tests=("tests/tokens/test_jwt_headers.py", "tests/tokens/test_jwt_refused.py"),
    ),
    Mutant(
        name="exp is checked only where the caller says what time it is",
        file="tokens/jwt.py",
        old="(time.time() if now is None else now) >= claims",
        new="(now or 0) >= claims",
        tests=("tests/tokens/test_jwt.py",),
    ),
    Mutant(
        name="a JWT for another audience is accepted",
        file="tokens/jwt.py",
        old='if claims.get("aud") != self._own["aud"]:',
        new='if "aud" not in claims:',
        tests=("tests/tokens/test_jwt.py",),
    ),
    Mutant(
        name="a public key is accepted as a secret of HS256",
        file="tokens/jwk.py",
        old='if b"-----BEGIN" in raw:',
        new='if b"-----BEGIN PRIVATE KEY" in raw:',
        tests=("tests/tokens/test_jwk.py",),
    ),
    Mutant(
        name="the MAC of a seal is computed and not compared",
        file="tokens/iron.py",
        old='if not hmac.compare_digest(mac, match["mac"]):',
        new="if not mac:",
        tests=("tests/tokens/test_iron_refused.py",),
    ),
    Mutant(
        name="the skew allowed at the expiry of a seal is a thousand times too long",
        file="tokens/iron.py",
        old="if expires_at <= now - SKEW:",
        new="if expires_at <= now - SKEW * 1000:",
        tests=("tests/tokens/test_iron.py",),
    ),
)
