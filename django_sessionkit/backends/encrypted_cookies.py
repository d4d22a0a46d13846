"""Sessions in an encrypted cookie: a seal that Node's iron-session opens and makes, too."""

from __future__ import annotations

from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.storage.cookies import Cookies
from django_sessionkit.storage.rows import Rows
from django_sessionkit.storage.seal_format import SealFormat


class SessionStore(BaseSessionStore):
    """A session in a Fe26.2 seal, which a row vouches for once somebody has signed in."""

    @classmethod
    def get_repository(cls) -> Cookies:
        return Cookies(Rows(cls.get_model_class), SealFormat())
