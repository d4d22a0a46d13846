"""Users and sessions to look at. Addresses come from the ranges kept for documentation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.backends.db import SessionStore
from harbour.user_agents import USER_AGENTS

ADMIN = "admin"
STAFF = "stella"
# A name, the name in full; everybody has the same password.
PEOPLE = {
    ADMIN: ("Ada", "Minh"),
    STAFF: ("Stella", "Marlow"),
    "amara": ("Amara", "Okafor"),
    "bruno": ("Bruno", "Costa"),
    "chloe": ("Chloé", "Lambert"),
    "emil": ("Emil", "Sørensen"),
    "yuki": ("Yuki", "Tanaka"),
}
PASSWORD = "anchors-aweigh"
AUTH_BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True, slots=True)
class Sample:
    """A session: whose ("" for a visitor), and how many hours ago it started and was last seen.

    It ends ``lifetime`` hours after it was last seen, so it may have ended already.
    """

    username: str
    agent: str
    address: str
    started: float
    seen: float
    lifetime: float = 14 * 24


SAMPLES = (
    Sample("bruno", "firefox-windows", "192.0.2.61", 1200, 700),
    Sample("yuki", "safari-ipad", "2001:db8:77:3::9", 900, 610),
    Sample("amara", "chrome-windows", "198.51.100.23", 760, 420),
    Sample("chloe", "edge-windows", "203.0.113.140", 600, 350),
    Sample("stella", "firefox-linux", "192.0.2.8", 520, 340),
    Sample("bruno", "chrome-android", "203.0.113.77", 480, 51),
    Sample("emil", "chrome-linux", "2001:db8:1f:a0::15", 410, 30),
    Sample("yuki", "safari-iphone", "198.51.100.201", 340, 3.5),
    Sample("chloe", "safari-mac", "203.0.113.140", 290, 0.7),
    Sample("amara", "safari-iphone", "198.51.100.24", 260, 1.2),
    Sample("emil", "firefox-android", "192.0.2.190", 200, 96),
    Sample("", "chrome-mac", "203.0.113.9", 190, 189, 24),
    Sample("admin", "firefox-linux", "192.0.2.2", 170, 26),
    Sample("yuki", "chrome-mac", "2001:db8:77:3::2", 150, 0.1),
    Sample("bruno", "edge-windows", "192.0.2.61", 120, 5),
    Sample("amara", "samsung", "198.51.100.87", 96, 48),
    Sample("chloe", "safari-iphone", "203.0.113.18", 72, 14),
    Sample("emil", "curl", "2001:db8:1f:a0::2", 60, 60, 12),
    Sample("stella", "chrome-mac", "192.0.2.9", 50, 2),
    Sample("yuki", "firefox-windows", "198.51.100.12", 30, 29, 8),
    Sample("amara", "firefox-windows", "198.51.100.23", 22, 0.3),
    Sample("bruno", "safari-ipad", "192.0.2.64", 12, 11),
    Sample("", "chrome-android", "203.0.113.200", 4, 3.8),
    Sample("emil", "chrome-linux", "2001:db8:1f:a0::15", 2, 0.05),
    Sample("chloe", "chrome-windows", "203.0.113.141", 1, 0.4),
)


def fill() -> bool:
    """Write the sample users and sessions, all or nothing; return False if there are users."""
    with transaction.atomic():
        if User.objects.exists():
            return False
        users = {name: _add_user(name, *full_name) for name, full_name in PEOPLE.items()}
        for sample in SAMPLES:
            _add_session(sample, users.get(sample.username))
    return True


def _add_user(username: str, first_name: str, last_name: str) -> User:
    user = User.objects.create_user(
        username,
        f"{username}@example.com",
        PASSWORD,
        first_name=first_name,
        last_name=last_name,
        is_staff=username in {ADMIN, STAFF},
        is_superuser=username == ADMIN,
    )
    if username == STAFF:
        names = ["view_session", "delete_session"]
        may = Permission.objects.filter(content_type__app_label="sessionkit", codename__in=names)
        user.user_permissions.set(may)
    return user


def _add_session(sample: Sample, user: User | None) -> None:
    now = timezone.now()
    started, seen = now - timedelta(hours=sample.started), now - timedelta(hours=sample.seen)
    store = SessionStore()
    store["note-sample"] = "Written by the sample data."
    if user:
        # What login() stores, without its signal: nobody signs in right now.
        store[SESSION_KEY] = str(user.pk)
        store[BACKEND_SESSION_KEY] = AUTH_BACKEND
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
        user.last_login = started
        user.save(update_fields=["last_login"])
    store.create()
    registry.sessions().filter(public_id=cast("str", store.public_id)).update(
        created_at=started,
        authenticated_at=started if user else None,
        last_seen_at=seen,
        expire_date=seen + timedelta(hours=sample.lifetime),
        ip_address=sample.address,
        user_agent=USER_AGENTS[sample.agent],
    )
