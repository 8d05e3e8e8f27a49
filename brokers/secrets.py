"""Field encryption: the only importer of django_cryptography.

Keys come from FIELD_KEYS: the first encrypts, all decrypt, so that a key can be changed while the desk runs. The value is text,
never a pickle. A value no key opens raises SecretUnreadable: it fails closed.

A row is read with its secrets sealed: they are opened when somebody asks for them, not by every query that joins the table, and a row
whose key is gone can still be shown, changed and filled anew.
"""

from functools import lru_cache

from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.signing import BadSignature
from django.db import models
from django.db.models.query_utils import DeferredAttribute
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


def is_current(blob: bytes) -> bool:
    """Whether the first key opens this value, so that nothing has to be written anew."""
    try:
        _box(settings.FIELD_KEYS[0]).decrypt(bytes(blob))
    except (BadSignature, InvalidToken):
        return False
    return True


class Sealed:
    """A value as it stands in the database. Neither str() nor repr() opens it."""

    __slots__ = ("blob",)

    def __init__(self, blob: bytes):
        self.blob = blob

    def __repr__(self) -> str:
        return "<sealed>"


def is_set(row: models.Model, name: str) -> bool:
    """Whether the row holds a secret there, without opening it."""
    return bool(row.__dict__.get(name)) if name in row.__dict__ else bool(getattr(row, name))


class _OpenedOnRead(DeferredAttribute):
    """Opens the value when it is asked for. It has `__set__`, because without it the row's own dict would come first."""

    def __get__(self, instance, cls=None):
        value = super().__get__(instance, cls)
        return unseal(value.blob) if isinstance(value, Sealed) else value

    def __set__(self, instance, value):
        instance.__dict__[self.field.attname] = value


class EncryptedText(encrypt(models.TextField)):  # type: ignore[misc]
    """A text column that is ciphertext in the database."""

    descriptor_class = _OpenedOnRead

    def _dump(self, value: str | Sealed) -> bytes:
        return value.blob if isinstance(value, Sealed) else seal(value)

    def _load(self, value: bytes) -> Sealed:
        return Sealed(value)

    def pre_save(self, model_instance, add):
        """What nobody opened is written back as it was."""
        known = model_instance.__dict__.get(self.attname)
        return known if isinstance(known, Sealed) else super().pre_save(model_instance, add)

    def get_prep_value(self, value):
        return value if isinstance(value, Sealed) else super().get_prep_value(value)

    def deconstruct(self):
        name, _, args, kwargs = models.TextField.deconstruct(self)
        return name, "brokers.secrets.EncryptedText", args, kwargs
