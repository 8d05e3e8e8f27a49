"""Once more, who are you? Asked before a deed that lets money at risk: arming, releasing, loosening. The one place where a second factor joins."""

from django.core.cache import cache

from tvapp.lib.errors import AppError

TRIES, WITHIN_S = 5, 15 * 60


def confirm(user, *, password: str = "", otp: str = "") -> None:
    """Returns when `user` has just proven who they are; raises AppError otherwise: 403 with what is missing, 429 after too many tries."""
    if otp:
        raise AppError("OTP_NOT_ENROLLED", "You have no second factor yet. Give your password instead.", status=403, extra={"field": "otp"})
    if not password:
        raise AppError("PASSWORD_NEEDED", "Type your password again to do this.", status=403, extra={"field": "password"})
    key = f"stepup:{user.pk}"
    if _count(key) > TRIES:  # counted before the look: many guesses at once are many tries
        raise AppError("TOO_MANY_TRIES", "The password was wrong too often. Try again in 15 minutes.", status=429, extra={"field": "password"})
    if not user.check_password(password):
        raise AppError("WRONG_PASSWORD", "That is not your password.", status=403, extra={"field": "password"})
    cache.delete(key)


def _count(key: str) -> int:
    """This try included."""
    if cache.add(key, 1, WITHIN_S):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # its time ran out between the two looks
        cache.set(key, 1, WITHIN_S)
        return 1
