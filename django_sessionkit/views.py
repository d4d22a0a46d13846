"""What the package answers by itself."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from django_sessionkit.conf import conf
from django_sessionkit.recall import repository_in_use
from django_sessionkit.storage.protocol import HasKeySet

#: How long others may keep the keys, in seconds: so long before it signs, a new one must be there.
JWKS_MAX_AGE = 300


@require_safe
def jwks(request: HttpRequest) -> HttpResponse:
    """Answer with the public keys that verify our tokens, as a JWK Set (RFC 7517).

    404 where nobody else can verify them: with another engine, with HS256, or without a lease,
    when a token is good for nobody but the row.
    """
    repository = repository_in_use()
    keys = repository.jwks() if isinstance(repository, HasKeySet) else None
    if not keys or not keys["keys"] or not conf.lease:
        raise Http404("There are no keys to verify sessions with.")
    response = JsonResponse(keys, content_type="application/jwk-set+json")
    patch_cache_control(response, public=True, max_age=JWKS_MAX_AGE)
    return response
