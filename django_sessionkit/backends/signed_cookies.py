"""Sessions in a signed cookie: a JWT, which others can verify and its holder can read."""

from __future__ import annotations

from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.storage.cookies import Cookies
from django_sessionkit.storage.jwt_format import JwtFormat
from django_sessionkit.storage.rows import Rows


class SessionStore(BaseSessionStore):
    """A session in a JWT, which a row vouches for once somebody has signed in."""

    @classmethod
    def get_repository(cls) -> Cookies:
        return Cookies(Rows(cls.get_model_class), JwtFormat())
