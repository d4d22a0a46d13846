"""The session middleware: Django's, with revocation taken as a normal thing."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import cached_property
from django.utils.http import http_date

from django_sessionkit.announcing import no_login_follows, undecided_ends
from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.current import current_request
from django_sessionkit.exceptions import CacheUnreachable
from django_sessionkit.storage.records import RequestFacts

logger = logging.getLogger("django.security.SessionInterrupted")


class SessionMiddleware(DjangoSessionMiddleware):
    """Put the session on the request, save it, and write its cookie with the response.

    Differs from Django's in what follows from revocation:

    - a request whose session was revoked, or whose key was replaced, while it ran is answered
      normally: nothing is written, the cookie is left alone, a warning is logged (Django answers
      HTTP 400);
    - the cookie is deleted only by the request that ended the session, so that a request in
      flight does not delete the cookie that a login in another tab has just set;
    - where a cache holds the sessions and does not answer, the response is a 503 and the cookie is
      left alone;
    - a cookie that ends with the browser is not set again while it stays as it is;
    - ``last_seen_at`` moves at most once a lease, with the response, outside of the view's
      transaction.

    Under ASGI all but the reading and writing of the row stays on the event loop. The store of
    another engine is left to Django's code.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.async_mode:
            return self.__acall__(request)
        token = current_request.set(request)
        try:
            # A subclass may answer the request there.
            early = cast(HttpResponse | None, self.process_request(request))
            response = early or cast(HttpResponse, self.get_response(request))
        finally:
            current_request.reset(token)
            no_login_follows(request)
        return self.process_response(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        token = current_request.set(request)
        try:
            if self._is_extended_in_sync:
                return await super().__acall__(request)
            self.process_request(request)
            response = await cast(Awaitable[HttpResponse], self.get_response(request))
        finally:
            current_request.reset(token)
            if undecided_ends(request):
                # Receivers of signals may ask the database.
                await sync_to_async(no_login_follows)(request)
            else:
                no_login_follows(request)
        return await self.aprocess_response(request, response)

    @cached_property
    def _is_extended_in_sync(self) -> bool:
        """Whether a subclass has sync hooks of its own, which Django's way runs in a thread."""
        cls, ours = type(self), SessionMiddleware
        return cls.process_request is not ours.process_request or (
            cls.process_response is not ours.process_response
            and cls.aprocess_response is ours.aprocess_response
        )

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        if isinstance(request.session, BaseSessionStore):
            request.session.facts = RequestFacts(request.META, time.monotonic())

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        session = getattr(request, "session", None)
        if not isinstance(session, BaseSessionStore):
            return super().process_response(request, response)
        depends_on_cookie = session.accessed
        if _wants_saving(session, response):
            try:
                session._get_session()
                if not session.is_empty():
                    session.save()
                    if not (session.is_retired or _has_cookie(request, session)):
                        _set_cookie(session, response)
            except UpdateError:
                _log_dropped(request)
            except CacheUnreachable:
                return _unavailable()
        elif _wants_renewal(session, response):
            has_new_cookie = session.renew_lease()
            if has_new_cookie and not _is_public(response):
                _set_cookie(session, response)
        return _finish(request, response, depends_on_cookie)

    async def aprocess_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """See process_response()."""
        session = getattr(request, "session", None)
        if not isinstance(session, BaseSessionStore):
            return await sync_to_async(super().process_response)(request, response)
        depends_on_cookie = session.accessed
        if _wants_saving(session, response):
            try:
                await session._aget_session()
                if not session.is_empty():
                    await session.asave()
                    if not (session.is_retired or _has_cookie(request, session)):
                        _set_cookie(session, response)
            except UpdateError:
                _log_dropped(request)
            except CacheUnreachable:
                return _unavailable()
        elif _wants_renewal(session, response):
            has_new_cookie = await session.arenew_lease()
            if has_new_cookie and not _is_public(response):
                _set_cookie(session, response)
        return _finish(request, response, depends_on_cookie)


def _wants_saving(session: BaseSessionStore, response: HttpResponse) -> bool:
    # Nothing is saved on a 5xx.
    wanted = session.modified or settings.SESSION_SAVE_EVERY_REQUEST
    return wanted and response.status_code < 500


def _wants_renewal(session: BaseSessionStore, response: HttpResponse) -> bool:
    return response.status_code < 500 and session.lease_has_run_out()


def _is_public(response: HttpResponse) -> bool:
    """Whether caches may give the response to others, as the view has it."""
    directives = response.get("Cache-Control", "").lower().split(",")
    return "public" in [directive.strip() for directive in directives]


def _unavailable() -> HttpResponse:
    """What was to be stored is lost, so the view's own response would not be true."""
    return HttpResponse("Service unavailable. Please try again.", "text/plain", 503)


def _log_dropped(request: HttpRequest) -> None:
    session = cast(BaseSessionStore, request.session)
    logger.warning(
        "Session %s ended, or its key was replaced, while a request to %s was running; what the "
        "request stored in it was dropped.",
        session.public_id
        or session.public_id_in(request.COOKIES.get(settings.SESSION_COOKIE_NAME)),
        # A path may hold line breaks and escape sequences (as in CVE-2025-48432).
        request.path.encode("unicode_escape").decode("ascii"),
        extra={"request": request},
    )


def _has_cookie(request: HttpRequest, session: BaseSessionStore) -> bool:
    """Whether the browser holds the very cookie that would be set.

    To repeat it could put an old key back over that of a login whose response came first. A
    cookie that has an end of its own is set anew with each save, since the save moves that.
    """
    return (
        session.get_expire_at_browser_close()
        and not session.has_new_expiry
        and session.session_key == request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    )


def _set_cookie(session: BaseSessionStore, response: HttpResponse) -> None:
    # After the save: it may have made the key, and merged another request's expiry.
    max_age = expires = None
    if not session.get_expire_at_browser_close():
        max_age = session.get_cookie_age()
        expires = http_date(time.time() + max_age)
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        session.session_key or "",
        max_age=max_age,
        expires=expires,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE or False,
        httponly=settings.SESSION_COOKIE_HTTPONLY or False,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )
    patch_vary_headers(response, ("Cookie",))


def _finish(request: HttpRequest, response: HttpResponse, depends_on_cookie: bool) -> HttpResponse:
    """Delete the cookie if this request ended the session, and say what the response varies on."""
    session = cast(BaseSessionStore, request.session)
    if session.is_unavailable and response.status_code == 500:
        # The view failed for want of its session: not for good (RFC 9110, section 15.6.4).
        response.status_code = 503
    if (
        session.is_flushed
        and session.is_empty()
        and settings.SESSION_COOKIE_NAME in request.COOKIES
    ):
        response.delete_cookie(
            settings.SESSION_COOKIE_NAME,
            path=settings.SESSION_COOKIE_PATH,
            domain=settings.SESSION_COOKIE_DOMAIN,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
        depends_on_cookie = True
    if depends_on_cookie:
        patch_vary_headers(response, ("Cookie",))
    return response
