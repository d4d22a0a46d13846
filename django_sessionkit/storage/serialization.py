"""Session data as bytes or JSON, for what is written down elsewhere than in a row.

Copies and tokens are authenticated by those who write them, so the data in there are what
SESSION_SERIALIZER makes of them, without a signature of their own; unless a project's store encodes
in a way of its own (which may encrypt): then they are what its ``encode()`` returns.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from django.core.signing import JSONSerializer

from django_sessionkit.exceptions import BadEntry
from django_sessionkit.storage.records import Coder


def to_bytes(data: dict[str, Any], coder: Coder) -> bytes:
    """Return the data as bytes."""
    if coder.encodes_by_itself:
        return coder.encode(data).encode()
    serialized: bytes = coder.serializer().dumps(data)
    return serialized


def from_bytes(raw: bytes, coder: Coder) -> dict[str, Any]:
    """Return the data of authentic bytes. Raises BadEntry if they cannot be read."""
    try:
        if coder.encodes_by_itself:
            return coder.decode(raw.decode())
        data: dict[str, Any] = coder.serializer().loads(raw)
    except Exception as error:
        # As in Django's decode(): a serializer may raise anything.
        raise BadEntry(f"Its data cannot be read ({type(error).__name__}).") from error
    return data


def to_json(data: dict[str, Any], coder: Coder) -> dict[str, Any] | None:
    """Return the data as a JSON object of them, None if that is not how they are written."""
    serializer = coder.serializer
    is_json = isinstance(serializer, type) and issubclass(serializer, JSONSerializer)
    if coder.encodes_by_itself or not is_json:
        return None
    if serializer is JSONSerializer:
        return data
    written: dict[str, Any] = json.loads(to_bytes(data, coder))
    return written


def from_json(written: dict[str, Any], coder: Coder) -> dict[str, Any]:
    """Return the data of a JSON object. Raises BadEntry if they cannot be read."""
    if coder.serializer is JSONSerializer:
        return written
    return from_bytes(json.dumps(written, separators=(",", ":")).encode(), coder)


def packed(data: dict[str, Any], coder: Coder) -> str:
    """Return the data as text that stands in JSON, and tells others nothing."""
    return urlsafe_b64encode(to_bytes(data, coder)).decode()


def unpacked(text: str, coder: Coder) -> dict[str, Any]:
    """Return the data that were packed. Raises BadEntry if they cannot be read."""
    try:
        raw = urlsafe_b64decode(text)
    except ValueError as error:
        raise BadEntry("It is not packed.") from error
    return from_bytes(raw, coder)
