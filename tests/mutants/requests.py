"""Faults in what requests, the admin, users and clean-ups do to sessions."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        name="a response of 500 and above saves the session",
        file="middleware.py",
        old="return wanted and response.status_code < 500",
        new="return wanted",
        tests=("tests/test_middleware.py",),
    ),
    Mutant(
        name="the cookie is deleted without SESSION_COOKIE_PATH, so it stays",
        file="middleware.py",
        old="""
            path=settings.SESSION_COOKIE_PATH,
""",
        new="\n",
        tests=("tests/test_middleware.py",),
    ),
    Mutant(
        name="the cookie is set without SESSION_COOKIE_SAMESITE",
        file="middleware.py",
        old="        samesite=settings.SESSION_COOKIE_SAMESITE,\n    )\n    patch_vary",
        new="    )\n    patch_vary",
        tests=("tests/test_middleware.py",),
    ),
    Mutant(
        name="a response that only read the session has no Vary header",
        file="middleware.py",
        old="    if depends_on_cookie:\n",
        new="    if depends_on_cookie and response.cookies:\n",
        tests=("tests/test_middleware.py",),
    ),
    Mutant(
        name="a lookup in a URL of the admin probes the hash and the data",
        file="admin/options.py",
        old="return lookup in self.allowed_lookups",
        new="return super().lookup_allowed(lookup, value, request)",
        tests=("tests/test_admin.py",),
    ),
    Mutant(
        name="the revoking action asks for no permission to delete",
        file="admin/revoking.py",
        old='@admin.action(permissions=["delete"], description=_("Revoke selected sessions"))',
        new='@admin.action(description=_("Revoke selected sessions"))',
        tests=("tests/test_admin_permissions.py",),
    ),
    Mutant(
        name="staff may revoke the sessions of superusers",
        file="admin/revoking.py",
        old="_is_superuser(request.user) or not _is_superuser(_user_of(obj))",
        new="_is_superuser(request.user) or not _is_superuser(request.user)",
        tests=("tests/test_admin_permissions.py",),
    ),
    Mutant(
        name="each page of the admin's list leaves out one session",
        file="admin/paging.py",
        old="return page[:-1], self._place(page[-2])",
        new="return page[:-1], self._place(page[-1])",
        tests=("tests/test_admin_paging.py",),
    ),
    Mutant(
        name="only the user model itself is listened to, not its proxies, children and parents",
        file="receivers.py",
        old="""
            issubclass(model, user_model)
            or issubclass(user_model, model)
            or model._meta.concrete_model is user_model._meta.concrete_model
""",
        new="""
            model is user_model
""",
        tests=("tests/test_receivers.py",),
    ),
    Mutant(
        name="signing in again as the same user keeps the key",
        file="receivers.py",
        old="    if not session.has_new_key:\n        session.renew_key_at_login()",
        new="    if session.is_empty():\n        session.renew_key_at_login()",
        tests=("tests/test_fixation.py",),
    ),
    Mutant(
        name="a clean-up along the ids deletes active sessions as well",
        file="cleanup.py",
        old="yield rows.filter(id__gte=start, id__lt=end)",
        new="yield self._rows.filter(id__gte=start, id__lt=end)",
        tests=("tests/test_cleanup.py",),
    ),
    Mutant(
        name="a clean-up deletes young rows whose user is not committed yet",
        file="cleanup.py",
        old="rows = self._rows.active(self.cutoff).filter(created_at__lt=young)",
        new="rows = self._rows.active(self.cutoff)",
        tests=("tests/test_cleanup.py",),
    ),
    Mutant(
        name="the leftmost entry of X-Forwarded-For, which clients write, is believed",
        file="clients.py",
        old="return entries[-count]",
        new="return entries[0]",
        tests=("tests/test_clients.py",),
    ),
    Mutant(
        name="a user whom a bulk update has deactivated stays signed in",
        file="authentication.py",
        old="if user is not None and not backend.user_can_authenticate(user):",
        new="if user is not None and not user.is_authenticated:",
        tests=("tests/test_authentication.py",),
    ),
)
