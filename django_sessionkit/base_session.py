"""The row of a session, without a table: a project may add columns of its own to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, cast

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_sessionkit.clients import MAX_USER_AGENT, device_label
from django_sessionkit.conf import conf
from django_sessionkit.keys import new_public_id


class SessionQuerySet(models.QuerySet["AbstractSession"]):
    """Questions that every table of sessions answers."""

    def active(self, at: datetime | None = None) -> Self:
        """Sessions that have not reached their end at ``at`` (default: now)."""
        return self.filter(expire_date__gt=at or timezone.now())

    def expired(self, at: datetime | None = None) -> Self:
        """Sessions that had reached their end at ``at`` (default: now)."""
        return self.filter(expire_date__lte=at or timezone.now())

    def for_user(self, user: Any) -> Self:
        """Sessions of ``user`` (an instance or a primary key), newest first.

        None, and who is not signed in, has no sessions: visitors' rows are nobody's. Raises
        TypeError for what is no user.
        """
        pk = user_pk(user, self.model)
        return self.none() if pk is None else self.filter(user=pk).order_by("-id")


class AbstractSession(models.Model):
    """One row for a session: who, since when, until when, and its data."""

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(_("public id"), unique=True, default=new_public_id, editable=False)
    secret_hash = models.BinaryField(_("secret hash"), max_length=32, editable=False)
    # The secret before: the first bytes of its hash, whether its holder was already this user, and
    # when it was replaced (microseconds since 1970, by the database's clock). They tell a retired
    # key, whose request was in flight, from a made-up one, and authenticate nobody.
    previous_mark = models.BinaryField(max_length=8, null=True, editable=False)
    previous_was_users = models.BooleanField(default=False, editable=False)
    replaced_at = models.BigIntegerField(null=True, editable=False)
    # No constraint and no cascade: sessions may live in another database than users, and who may
    # not delete sessions may still delete users. receivers.py revokes instead. The index is the
    # composite one below.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("started"), default=timezone.now)
    authenticated_at = models.DateTimeField(_("signed in"), null=True, blank=True)
    # In no index, so that PostgreSQL updates it in place (heap-only tuples).
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    expire_date = models.DateTimeField(_("ends"))
    ip_address = models.GenericIPAddressField(_("address"), null=True, blank=True, unpack_ipv4=True)
    user_agent = models.CharField(
        _("user agent"), max_length=MAX_USER_AGENT, blank=True, default=""
    )
    # Null where the engine keeps the data elsewhere; an empty session is no empty string.
    data = models.TextField(_("data"), null=True, blank=True, editable=False)  # noqa: DJ001
    version = models.BigIntegerField(_("version"), default=1, editable=False)

    objects = models.Manager.from_queryset(SessionQuerySet)()

    class Meta:
        abstract = True
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        # Nobody adds or changes a session by hand; deleting one is revoking it.
        default_permissions = ("view", "delete")
        indexes = [
            # The sessions of one user, newest first.
            models.Index(fields=["user", "id"]),
            # The clean-up walks expired rows from the oldest on; the admin lists by it.
            models.Index(fields=["expire_date"]),
            # The search by an address, newest first.
            models.Index(fields=["ip_address", "id"]),
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        """Return the ``SessionStore`` of the configured SESSION_ENGINE."""
        return conf.session_store

    def get_decoded(self) -> dict[str, Any]:
        """Return the session dictionary ({} where the data is kept elsewhere or is damaged)."""
        if self.data is None:
            return {}
        return self.get_session_store_class()().decode(self.data)

    @property
    def is_active(self) -> bool:
        """Whether the session has not reached its end."""
        return self.expire_date > timezone.now()

    @property
    def label(self) -> str:
        """The device in words, such as "Firefox on Windows"."""
        return device_label(self.user_agent)


def user_pk(user: Any, model: type[models.Model]) -> Any:
    """Return the primary key of a user, given as an instance or as that key; None: nobody.

    Raises:
        TypeError: an instance of another model, whose key could be that of some user, or a
            session store.
    """
    if isinstance(user, SessionBase):
        raise TypeError("A session store is no user.")
    if not isinstance(user, models.Model):
        return getattr(user, "pk", user)
    cls, user_model = user.__class__, cast(Any, model._meta.get_field("user").related_model)
    # Proxies, parents and children of the user model share its primary key.
    is_related = issubclass(cls, user_model) or issubclass(user_model, cls)
    if not is_related and cls._meta.concrete_model is not user_model._meta.concrete_model:
        raise TypeError(f"A {cls.__name__} is no user.")
    return user.pk
