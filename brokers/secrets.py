"""Field encryption: the only importer of django_cryptography.

Keys come from FIELD_KEYS: the first encrypts, all decrypt, so that a key can be changed while the desk runs. The value is text,
never a pickle. A value no key opens raises SecretUnreadable: it fails closed.
"""

from functools import lru_cache

from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.signing import BadSignature
from django.db import models
from django_cryptography.core.signing import FernetSigner
from django_cryptography.fields import encrypt
from django_cryptography.utils.crypto import FernetBytes


class SecretUnreadable(Exception):
    """No key in FIELD_KEYS opens this value."""


@lru_cache(maxsize=16)
def _box(key: str) -> FernetBytes:
    raw = HKDF(hashes.SHA256(), 64, None, b"tvapp field v1").derive(key.encode())
    return FernetBytes(raw[:32], FernetSigner(raw[32:]))


def seal(text: str) -> bytes:
    """Encrypts with the first key; the same text gives another result every time."""
    return _box(settings.FIELD_KEYS[0]).encrypt(text.encode())


def unseal(blob: bytes) -> str:
    """Decrypts with whichever key fits. Raises SecretUnreadable."""
    for key in settings.FIELD_KEYS:
        try:
            return _box(key).decrypt(bytes(blob)).decode()
        except (BadSignature, InvalidToken):
            continue
    raise SecretUnreadable("no key in FIELD_KEYS opens this value")


class EncryptedText(encrypt(models.TextField)):  # type: ignore[misc]
    """A text column that is ciphertext in the database."""

    def _dump(self, value: str) -> bytes:
        return seal(value)

    def _load(self, value: bytes) -> str:
        return unseal(value)

    def deconstruct(self):
        name, _, args, kwargs = models.TextField.deconstruct(self)
        return name, "brokers.secrets.EncryptedText", args, kwargs
