from __future__ import annotations

from django.db import models

from django_sessionkit.base_session import AbstractSession


class ShopSession(AbstractSession):
    items_in_cart = models.IntegerField(default=0)
    language = models.CharField(max_length=10, blank=True)

    class Meta(AbstractSession.Meta):
        pass
