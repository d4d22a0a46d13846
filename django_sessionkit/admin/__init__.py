"""Registers the sessions with the admin."""

from django.contrib import admin

from django_sessionkit.admin.options import SessionAdmin
from django_sessionkit.models import Session

__all__ = ["SessionAdmin"]

admin.site.register(Session, SessionAdmin)
