"""Whose address a request comes from. Forwarding headers count only as far as the trusted proxies put them there."""

from ipaddress import ip_address

from django.conf import settings


def client_address(request) -> str:
    """The socket's peer; with n trusted proxies the n-th address from the right of X-Forwarded-For. Empty when unreadable."""
    hops = settings.TRUSTED_PROXY_HOPS
    peer = request.META.get("REMOTE_ADDR", "")
    if hops > 0:
        chain = [a.strip() for a in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        peer = chain[-hops] if len(chain) >= hops else ""
    try:
        return str(ip_address(peer))
    except ValueError:
        return ""
