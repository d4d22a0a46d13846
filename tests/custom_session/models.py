from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from django_sessionkit.base_session import AbstractSession


class ShopSession(AbstractSession):
    items_in_cart = models.IntegerField(default=0)
    language = models.CharField(max_length=10, blank=True)

    class Meta(AbstractSession.Meta):
        pass


class Basket(models.Model):
    """Goes with its session."""

    session = models.ForeignKey(ShopSession, on_delete=models.CASCADE, related_name="+")

    objects: ClassVar[Any] = models.Manager()


class Order(models.Model):
    """Outlives its session."""

    session = models.ForeignKey(ShopSession, on_delete=models.SET_NULL, null=True)

    objects: ClassVar[Any] = models.Manager()
