from __future__ import annotations

from typing import Any

from django_sessionkit.backends.db import SessionStore as DatabaseSessionStore
from django_sessionkit.base_session import AbstractSession
from tests.custom_session.models import ShopSession


class SessionStore(DatabaseSessionStore):
    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        return ShopSession

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        session = super().create_model_instance(data)
        assert isinstance(session, ShopSession)
        session.items_in_cart = len(data.get("cart", []))
        session.language = data.get("language", "")
        return session

    def get_session_cookie_age(self) -> int:
        return 60 * 60 * 24
