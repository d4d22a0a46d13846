"""A site of two programs behind one address: /cart is Node's, every other page Django's.

Both run what docs/cookies.md shows; Django is the example project with those settings.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from django_sessionkit.tokens.iron import Sealer
from tests.cookies.page import BLOCKS
from tests.cookies.web import COOKIE, WebBrowser
from tests.example_site import environment, serve
from tests.node import Node

OLD, NEW = "the lighthouse keeper's long password", "a password of the harbour master's"
#: So that it can run out in a test; nothing else depends on it.
LEASE = 1
#: The docs' handler believes a session for so long.
BELIEVED = 120
#: To be past it by far, whatever the machine is busy with.
LATE = 1000


class Sites:
    """Starts them, on one database in the folder; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._addresses: dict[str, str] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._node = stack.enter_context(Node("site.mjs"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(
        self,
        version: int,
        in_node: dict[str, str],
        in_django: dict[str, str] | None = None,
    ) -> str:
        """Start Node, with that version of iron-session, in front of Django; return its address.

        Each has its passwords; Django those of Node, if none are given. It is started once for
        each of them.
        """
        passwords = in_node if in_django is None else in_django
        if (name := json.dumps(passwords)) not in self._addresses:
            django = self._stack.enter_context(_django(self._folder, passwords))
            self._addresses[name] = django
        port = self._node.call(
            "start",
            code=BLOCKS["handler in node"],
            version=version,
            environment=_in_environment(in_node),
            django=self._addresses[name],
        )
        return f"http://127.0.0.1:{port}"


def cart(browser: WebBrowser, *, add: bool = False) -> dict[str, Any]:
    """Return what Node answers."""
    page = browser.post("/cart") if add else browser.get("/cart")
    assert (page.path, page.status) == ("/cart", 200)
    answer: dict[str, Any] = json.loads(page.text)
    return answer


def is_asked_to_sign_in(browser: WebBrowser) -> bool:
    """Whether Node sends the browser to Django, and Django does not send it back."""
    return browser.get("/cart").path == "/sign-in/?next=%2Fcart"


def aged(seal: str, seconds: float) -> str:
    """Return the seal as it would be now if it had been made so many seconds earlier."""
    unsealed = Sealer(OLD).unseal(seal, may_be_expired=True)
    assert unsealed.expires_at is not None
    told = json.loads(unsealed.payload)
    if "_sessionkit" in told:
        told["_sessionkit"]["checked"] -= int(seconds * 1_000_000)
    return Sealer(OLD).seal(json.dumps(told).encode(), expires_at=unsealed.expires_at - seconds)


def expires_in(seal: str) -> float:
    expires_at = Sealer(OLD).unseal(seal, may_be_expired=True).expires_at
    assert expires_at is not None
    return expires_at - time.time()


def _in_environment(passwords: dict[str, str]) -> dict[str, str]:
    return {"SESSION_PASSWORDS": json.dumps(passwords)}


@contextmanager
def _django(folder: Path, passwords: dict[str, str]) -> Iterator[str]:
    """Serve the example project with the docs' settings; yield its address."""
    lines = [
        "from tests.harbour_settings import *",
        f"SESSION_COOKIE_NAME = {COOKIE!r}",
        BLOCKS["one cookie"],
        f"SESSIONKIT_LEASE = {LEASE}",
    ]
    Path(folder, "shared_settings.py").write_text("\n".join(lines), "utf-8")
    database = folder / "db.sqlite3"
    path = os.pathsep.join([str(folder), environment(database)["PYTHONPATH"]])
    more = {"DJANGO_SETTINGS_MODULE": "shared_settings", "PYTHONPATH": path}
    with serve(database, **more, **_in_environment(passwords)) as (address, _):
        yield address
