"""What is wrong with a token; a message never holds the token, nor anything of a key."""


class BadToken(ValueError):  # noqa: N818
    """It is none of ours, or was changed since we made it; the message says why."""


class ExpiredToken(BadToken):
    """It is ours, and its time is over."""
