"""What has been promised to those who hold tokens, and whether what they see keeps it.

1. Of a session that was revoked, deleted or logged out, or whose secret or user is another one by
   now, no token is good a lease later; its row, if it has ended, never comes back.
2. A token shows what was put into it, and the user whose it is, as long as it shows anything.
3. It is refused only when somebody has at least begun to end the session, or to replace its
   secret or user.
4. What a login or another user has been saved for is in force in the row.

Nothing is merged here, and what requests save side by side goes with the token of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django_sessionkit.keys import SplitKey
from tests.schedules.promises import USER, Broken, Key, Known, Promise, Promises, Start


@dataclass
class Token(Key):
    """A token that a browser has got; those of one secret and user share what retires them."""

    user: str | None = None
    #: Empty where there is no row.
    secret: bytes = b""
    names: frozenset[str] = frozenset()


class TokenPromises(Promises):
    """The sessions and tokens of one schedule."""

    keys: list[Token]  # type: ignore[assignment]

    def hand_out_token(self, token: Token, parent: Token | None, own: Promise | None) -> None:
        """A browser has got this token, made of another one by what ``own`` is about."""
        twins = self.tokens_of(token.session, token.secret, lambda user: user == token.user)
        if twins:
            token.retired = twins[0].retired
        elif parent is not None and parent.session is token.session:
            # Whatever else was begun over that one may have come later than this.
            token.retired = [Promise() for other in parent.retired if other is not own]
        self.hand_out(token)

    def tokens_of(
        self, session: Known, secret: bytes, is_meant: Callable[[str | None], bool]
    ) -> list[Token]:
        """Return the tokens of a session that hold this secret, and a user that is meant."""
        return [
            token
            for token in self.keys
            if token.session is session and token.secret == secret and is_meant(token.user)
        ]

    def retiring(self, tokens: Iterable[Token], promise: Promise) -> None:
        """Something has begun that retires all these tokens."""
        for token in tokens:
            if promise not in token.retired:
                token.retired.append(promise)

    def not_retired(self, promise: Promise) -> None:
        """It has retired nothing."""
        for token in self.keys:
            if promise in token.retired:
                token.retired.remove(promise)

    def check_load(self, key: Key, start: Start, data: dict[str, Any]) -> None:
        assert isinstance(key, Token)
        if data:
            if key.session.bound([*key.session.ends, *key.retired], start):
                raise Broken("The session ended, or the token was replaced, a lease ago.")
            if data.get(USER) != key.user:
                raise Broken("The token shows another user than it was made for.")
            if data.keys() - {USER} != key.names:
                raise Broken(f"The token shows {sorted(data)}, not {sorted(key.names)}.")
        elif not key.may_be_refused():
            raise Broken("The session is lost, though nobody has ended it.")

    def check_force(self, session: Known, row: Any) -> None:
        """Compare a row (None: there is none) with all that has happened."""
        if any(end.step is not None for end in session.ends):
            if row is not None:
                raise Broken("The session was ended, and has a row.")
            return
        if row is None:
            if session.has_row and not session.ends:
                raise Broken("The row is gone, though nobody has ended the session.")
            return
        for token in self.keys:
            if token.session is session and not token.retired:
                key = SplitKey(session.public_id, token.secret)
                if not key.proves(row.secret_hash) or str(row.user_id) != token.user:
                    raise Broken("What was saved is not in force in the row.")
