"""What has to work for a session model with columns of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.models import Session
from django_sessionkit.signals import SessionEndReason, session_ended
from tests.custom_session.engine import SessionStore
from tests.custom_session.models import Basket, Order, ShopSession

pytestmark = [pytest.mark.django_db, pytest.mark.varies]


def columns() -> tuple[int, str]:
    session = ShopSession.objects.get()
    return session.items_in_cart, session.language


def test_the_columns_follow_the_data() -> None:
    store = SessionStore()
    store.update({"cart": ["tea", "cup"], "language": "fr"})
    store.save()
    assert columns() == (2, "fr")
    again = SessionStore(store.session_key)
    del again["language"]
    again["cart"] = ["tea"]
    again.save()
    assert columns() == (1, "")
    again.flush()
    assert not ShopSession.objects.exists()


async def test_the_columns_follow_the_data_of_async_requests() -> None:
    store = SessionStore()
    await store.aset("cart", ["tea"])
    await store.asave()
    assert (await ShopSession.objects.aget()).items_in_cart == 1


def test_the_columns_follow_what_overlapping_requests_merged() -> None:
    store = SessionStore()
    store["cart"] = ["tea"]
    store.save()
    one, other = SessionStore(store.session_key), SessionStore(store.session_key)
    one["language"] = "fr"
    other["cart"] = ["tea", "cup"]
    one.save()
    other.save()
    assert columns() == (2, "fr")


def test_a_new_key_keeps_the_row_and_its_columns() -> None:
    store = SessionStore()
    store.update({"cart": ["tea"], "language": "fr"})
    store.save()
    before = ShopSession.objects.get().pk
    again = SessionStore(store.session_key)
    again.cycle_key()
    again.save()
    assert columns() == (1, "fr")
    assert ShopSession.objects.get().pk == before


def test_the_store_says_how_long_its_sessions_live() -> None:
    store = SessionStore()
    store.create()
    end = ShopSession.objects.get().expire_date
    assert timedelta(hours=23) < end - timezone.now() <= timedelta(days=1)


def test_requests_and_registry_use_the_model() -> None:
    user = User.objects.create_user("alice")
    browser = Client()
    browser.get("/login/alice/")
    (session,) = registry.list_sessions(user)
    assert isinstance(session, ShopSession)
    assert session.user == user
    assert registry.find_session(session.public_id) == session
    assert registry.revoke(session, owner=registry.ANY_OWNER)
    assert browser.get("/whoami/").text == ""
    assert not Session.objects.exists()


def test_signals_are_sent_for_the_model(django_capture_on_commit_callbacks: object) -> None:
    ended: list[tuple[object, object]] = []

    def note(sender: object, reason: object, **kwargs: object) -> None:
        ended.append((sender, reason))

    SessionStore().create()
    session_ended.connect(note, sender=ShopSession)
    try:
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            registry.revoke_everyone()
    finally:
        session_ended.disconnect(note, sender=ShopSession)
    assert ended == [(ShopSession, SessionEndReason.REVOKED)]


def test_the_admin_offers_no_list_of_the_table_that_is_not_in_use() -> None:
    User.objects.create_superuser("root", password="secret")
    browser = Client()
    browser.login(username="root", password="secret")
    index = browser.get("/admin/").text
    assert "/admin/auth/user/" in index
    assert "/admin/sessionkit/" not in index


def test_deleting_the_user_ends_the_sessions() -> None:
    user = User.objects.create_user("alice")
    Client().get("/login/alice/")
    user.delete()
    assert not ShopSession.objects.exists()


@pytest.mark.parametrize("way", ["logout", "registry", "everyone", "cleanup", "orm"])
def test_what_refers_to_a_session_is_treated_as_its_foreign_key_says(
    way: str, django_capture_on_commit_callbacks: object
) -> None:
    user = User.objects.create_user("alice")
    browser = Client()
    browser.get("/login/alice/")
    row = ShopSession.objects.get()
    Basket.objects.create(session=row)
    order = Order.objects.create(session=row)
    ended: list[object] = []

    def note(session: ShopSession, **kwargs: object) -> None:
        ended.append(session.public_id)

    session_ended.connect(note)
    try:
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            if way == "logout":
                assert browser.get("/logout/").status_code == 200
            elif way == "registry":
                assert registry.revoke_user(user).count == 1
            elif way == "everyone":
                assert registry.revoke_everyone().count == 1
            elif way == "cleanup":
                ShopSession.objects.update(expire_date=timezone.now() - timedelta(days=1))
                call_command("clearsessions", verbosity=0)
            else:
                row.delete()
    finally:
        session_ended.disconnect(note)
    assert not ShopSession.objects.exists()
    assert not Basket.objects.exists()
    order.refresh_from_db()
    assert order.session is None
    assert ended == [row.public_id]


def test_clearing_expired_sessions_clears_the_model() -> None:
    SessionStore().create()
    ShopSession.objects.update(expire_date=timezone.now() - timedelta(days=1))
    call_command("clearsessions", verbosity=0)
    assert not ShopSession.objects.exists()


def test_the_data_is_decoded_by_the_sites_engine() -> None:
    store = SessionStore()
    store["cart"] = ["tea"]
    store.save()
    assert ShopSession.objects.get().get_decoded() == {"cart": ["tea"]}


def test_the_site_has_no_problem_that_checks_find() -> None:
    call_command("check", fail_level="WARNING")
