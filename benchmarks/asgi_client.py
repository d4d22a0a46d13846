"""A client of asgi.py: one kept connection, no more of HTTP than the server answers."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
COOKIE = re.compile(rb"\r\nset-cookie: ([^;\r]+)", re.IGNORECASE)
#: One request in so many changes the session.
SAVE = 10
TIMEOUT = 60.0  # seconds


class Client:
    """Somebody who is signed in and asks again as soon as there is an answer."""

    def __init__(self, port: int, dice: random.Random) -> None:
        self._port, self._dice = port, dice
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._cookie = b""
        self.times: list[float] = []
        self.errors: Counter[str] = Counter()

    async def sign_in(self) -> None:
        """Sign in. Raises RuntimeError where that fails."""
        error = await self._get(b"/in", b"in")
        if error:
            raise RuntimeError(error)

    async def ask(self, end: float) -> None:
        """Ask until ``end``; keep the times of answers in ms, and what went wrong."""
        while (start := time.perf_counter()) < end:
            url = b"/read" if self._dice.randrange(SAVE) else b"/save"
            if error := await self._get(url, b"alice"):
                self.errors[error] += 1
            else:
                self.times.append((time.perf_counter() - start) * 1000)

    def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _get(self, url: bytes, wanted: bytes) -> str:
        """Return what was wrong with the answer, if anything."""
        try:
            async with asyncio.timeout(TIMEOUT):
                head, body = await self._exchange(url)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.close()
            return type(error).__name__
        for cookie in COOKIE.findall(head):
            self._cookie = b"Cookie: " + cookie + b"\r\n"
        status = head.split(b" ", 2)[1]
        if status != b"200":
            return f"status {status.decode()}"
        # One who is no longer signed in gets an answer as well.
        return "" if body == wanted else "signed out"

    async def _exchange(self, url: bytes) -> tuple[bytes, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(
            b"GET " + url + b" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + AGENT.encode()
            + b"\r\n" + self._cookie + b"\r\n"
        )  # fmt: skip
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        if length is None:
            raise ConnectionError(head)
        return head, await reader.readexactly(int(length[1]))
