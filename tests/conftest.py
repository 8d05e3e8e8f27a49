"""Fixtures every room shares."""

import shutil

import pytest

from tests import environment


@pytest.fixture(autouse=True)
def _quick(settings):
    """Cheap hashing and plain static names: tests measure behaviour, not bcrypt."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}


@pytest.fixture(autouse=True)
def _empty_cache():
    from django.core.cache import cache

    from tvapp.models import DeskSettings

    cache.clear()
    DeskSettings.forget()


def pytest_sessionfinish(session):
    shutil.rmtree(environment.HOME, ignore_errors=True)
