from __future__ import annotations

import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class CustomUser(AbstractBaseUser):
    name = models.CharField(max_length=50, unique=True)
    is_active = models.BooleanField(default=True)
    USERNAME_FIELD = "name"
    objects = BaseUserManager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class IntegerUser(CustomUser):
    number = models.IntegerField(primary_key=True)


class UUIDUser(CustomUser):
    uuid = models.UUIDField(primary_key=True, default=uuid.uuid4)


class StringUser(CustomUser):
    address = models.CharField(primary_key=True, max_length=100)
