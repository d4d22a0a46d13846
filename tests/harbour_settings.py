"""The example project's settings, with passwords that take no time to check."""

from harbour.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
