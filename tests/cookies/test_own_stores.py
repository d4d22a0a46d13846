"""Stores of a site's own that derive from the cookie engines."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.signing import dumps, loads

from django_sessionkit import registry
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.models import Session
from tests.engines import Engine, with_tokens

pytestmark = [pytest.mark.django_db, with_tokens, pytest.mark.usefixtures("engine")]


def test_columns_that_follow_the_data_are_read_first_and_written_at_once(engine: Engine) -> None:
    class SessionStore(type(engine.store())):  # type: ignore[misc]
        def create_model_instance(self, data: dict[str, Any]) -> Session:
            row: Session = super().create_model_instance(data)
            row.user_agent = f"{row.version}, {data.get('language', '')}"
            row.ip_address = data.get("address", row.ip_address)
            return row

    session = SessionStore()
    session.update({"_auth_user_id": "1", "language": "fr", "address": "192.0.2.7"})
    session.save()
    assert Session.objects.get().user_agent == "1, fr"
    again = SessionStore(session.session_key)
    del again["address"]
    again["_session_expiry"] = 500
    again["language"] = "de"
    again.save()
    row = Session.objects.get()
    assert (row.user_agent, row.ip_address) == ("1, de", "192.0.2.7")
    again = SessionStore(again.session_key)
    again.cycle_key()
    assert engine.content(again.session_key).checked_at == 0  # not saved yet
    again.save()
    registry.revoke_everyone()
    gone = SessionStore(again.session_key)
    gone["cat"] = "Tom"
    with pytest.raises(SessionGone):
        gone.save()


def test_data_that_a_store_encodes_in_its_own_way_lie_in_the_token_like_that(
    engine: Engine,
) -> None:
    class SessionStore(type(engine.store())):  # type: ignore[misc]
        def encode(self, session_dict: dict[str, Any]) -> str:
            return dumps(session_dict, salt="own")

        def decode(self, session_data: str) -> dict[str, Any]:
            data: dict[str, Any] = loads(session_data, salt="own")
            return data

    session = SessionStore()
    session["cat"] = "Tom"
    session.save()
    assert dict(SessionStore(session.session_key).items()) == {"cat": "Tom"}
    assert engine.store(session.session_key).load() == {}
