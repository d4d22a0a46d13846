"""What a key is worth that a row had before its present one.

A login gives the session a new secret, and requests with the old one may be under way. The row
remembers a mark of the secret before and when it was replaced, so that a key of such a request is
told from a key that somebody made up. Neither opens the session.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

#: A request that arrived less than this long after its key was replaced was in flight.
IN_FLIGHT = timedelta(seconds=5)
#: For so long after it was replaced, a key that was already the user's may end the session.
MAY_END = timedelta(seconds=60)
#: How long a cache remembers a visitor's key that a login has replaced.
RETIRED_FOR = timedelta(seconds=65)
#: Signing in again changes a key whose last change is at least so long ago (OWASP ASVS 5.0, 7.2.4).
KEPT_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class ReplacedKey:
    """A key that the row really had before.

    ``age``: how long ago it was replaced when the request with it arrived; below 0 if it was
    replaced while the request ran. ``was_users``: whether its holder was already signed in as the
    user of the row (``user_id``) when it was replaced; else it was a visitor's.
    """

    public_id: uuid.UUID
    user_id: Any
    age: timedelta
    was_users: bool

    @property
    def is_retired(self) -> bool:
        """Whether the request with it was in flight: it is nobody's, and touches no cookie."""
        return self.age < IN_FLIGHT

    @property
    def may_end_session(self) -> bool:
        """Whether it may sign its user out."""
        return self.was_users and self.age < MAY_END
