"""A browser without scripts: it keeps cookies, follows redirects and sends forms over HTTP."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.cookiejar import Cookie, CookieJar

from tests.example_site import PASSWORD

COOKIE = "sessionid"
TIMEOUT = 20  # seconds


@dataclass(frozen=True, slots=True)
class Page:
    """What the last redirect led to."""

    path: str
    status: int
    text: str
    set_cookies: list[str]


class WebBrowser:
    """One browser, at the site of one address. As in others, ports share their cookies."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def get(self, path: str) -> Page:
        return self._open(path, None)

    def post(self, path: str, **fields: str) -> Page:
        """Send the fields, with the CSRF token that a form of the site would hold."""
        tokens = [cookie.value for cookie in self._jar if cookie.name == "harbour_csrf"]
        fields["csrfmiddlewaretoken"] = (tokens and tokens[0]) or ""
        return self._open(path, urllib.parse.urlencode(fields).encode())

    def sign_in(self, username: str) -> Page:
        self.get("/sign-in/")
        page = self.post("/sign-in/", username=username, password=PASSWORD)
        assert page.path == "/session/", page
        return page

    @property
    def public_id(self) -> str:
        """The public id of one's session, from the page about it."""
        found = re.search(r"Public id</dt><dd><code>([0-9a-f-]{36})", self.get("/session/").text)
        assert found
        return found[1]

    @property
    def is_known(self) -> bool:
        """Whether Django takes the browser for somebody who has signed in."""
        return "See your session" in self.get("/").text

    @property
    def cookie(self) -> Cookie:
        """The session cookie."""
        (cookie,) = (cookie for cookie in self._jar if cookie.name == COOKIE)
        return cookie

    @property
    def seal(self) -> str:
        """The value of the session cookie."""
        return self.cookie.value or ""

    @seal.setter
    def seal(self, value: str) -> None:
        for cookie in self._jar:
            if cookie.name == COOKIE:
                self._jar.clear(cookie.domain, cookie.path, cookie.name)
        host = urllib.parse.urlsplit(self.address).hostname or ""
        self._jar.set_cookie(
            Cookie(
                0, COOKIE, value, None, False, host, False, False, "/", True, False, None, True,
                None, None, {},
            )
        )  # fmt: skip

    def _open(self, path: str, body: bytes | None) -> Page:
        request = urllib.request.Request(self.address + path, body)  # noqa: S310
        try:
            answer = self._opener.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            parts = urllib.parse.urlsplit(answer.url)
            return Page(
                parts.path + (f"?{parts.query}" if parts.query else ""),
                answer.status,
                answer.read().decode(),
                answer.headers.get_all("Set-Cookie") or [],
            )
