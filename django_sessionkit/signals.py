"""The signals that are sent when sessions start and end.

Both signals are sent after the transaction has committed, with ``send_robust()``: a receiver
that fails is logged by Django and neither stops the others nor brings a session back.

``session_created(sender=model, session=row)``
    a row was written: somebody signed in, or a visitor stored something.
``session_ended(sender=model, session=row, reason=SessionEndReason, actor=user or None, at_once)``
    a row was deleted; ``session`` is the row as it was, ``actor`` the user who ended the session,
    if known. ``at_once`` is False if a cache did not answer, or a browser holds the session in a
    cookie: the session key is then refused at the latest when the lease ends.

``session`` never holds a session key, only its hash.
"""

from django.dispatch import Signal

from django_sessionkit.events import SessionEndReason

__all__ = ["SessionEndReason", "session_created", "session_ended"]

session_created = Signal()
session_ended = Signal()
