"""API tokens: made at sign-in, kept as a hash from the first day, shown once."""

import hashlib
import secrets

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from tvapp.lib import clock
from tvapp.models import ApiToken


def digest(key: str) -> str:
    """SHA-256 in hex: enough for 32 random bytes, no salt needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_token(user, name: str) -> str:
    """Makes a token row and returns the key; it cannot be read again."""
    key = secrets.token_urlsafe(32)
    ApiToken.objects.create(owner=user, name=name[:80], digest=digest(key))
    return key


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Token …`; no cookie, so no CSRF token either."""

    def authenticate(self, request):
        scheme, _, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "token":
            return None
        row = ApiToken.objects.select_related("owner").filter(digest=digest(key.strip()), revoked_at=None).first()
        if row is None or not row.owner.is_active:
            raise AuthenticationFailed()
        self._touch(row)
        return row.owner, row

    @staticmethod
    def _touch(row: ApiToken) -> None:
        """Last use, to the minute: an authenticated read must not become a write each time."""
        now = clock.now()
        if row.last_used_at is None or (now - row.last_used_at).total_seconds() > 60:
            ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)

    def authenticate_header(self, request) -> str:
        return "Token"


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = TokenAuthentication
    name = "tokenAuth"

    def get_security_definition(self, auto_schema):
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Token <key>"}
