"""What fits into a cookie."""

from __future__ import annotations

from django.conf import settings

from django_sessionkit.exceptions import CookieTooLarge
from django_sessionkit.storage.claims import Claims
from django_sessionkit.storage.records import Coder

#: Browsers drop a cookie whose name and value are longer, in bytes (RFC 6265bis, section 5.7).
COOKIE_SIZE = 4096
#: So many of the largest keys are named where a session does not fit.
LARGEST = 3


def checked_size(token: str, claims: Claims, coder: Coder) -> str:
    """Return the token of the claims. Raises CookieTooLarge if a browser would not keep it."""
    size = len(settings.SESSION_COOKIE_NAME.encode()) + len(token)
    if size <= COOKIE_SIZE:
        return token
    del token  # error pages show what a function holds
    dumps = coder.serializer().dumps
    sizes = {str(key): len(dumps({key: value})) for key, value in claims.data.items()}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:LARGEST]
    raise CookieTooLarge(size, COOKIE_SIZE, {key: sizes[key] for key in largest})
