"""The package's own pages: ``path("", include("django_sessionkit.urls"))``."""

from __future__ import annotations

from django.urls import path

from django_sessionkit import views

app_name = "sessionkit"
urlpatterns = [
    path(".well-known/jwks.json", views.jwks, name="jwks"),
]
