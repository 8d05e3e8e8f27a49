"""Fixtures every room shares."""

import shutil

import pytest
from django.conf import settings as django_settings

from tests import environment, migrated
from tests.process.postgres import Postgres


@pytest.fixture(autouse=True)
def _quick(settings):
    """Cheap hashing and plain static names: tests measure behaviour, not bcrypt."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}


@pytest.fixture(autouse=True)
def _empty_cache():
    from django.core.cache import cache

    from trading.selectors import sessions
    from tvapp.models import DeskSettings

    cache.clear()
    DeskSettings.forget()
    sessions.forget()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request):
    """Workers side by side need databases of different names on a server; SQLite's are each in their worker's memory."""
    if django_settings.ON_SQLITE:
        migrated.hasten()
    else:
        request.getfixturevalue("django_db_modify_db_settings_parallel_suffix")


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of its own; see tests/process/postgres.py."""
    server = Postgres()
    try:
        yield server
    finally:
        server.close()


def pytest_itemcollected(item):
    """A test that takes PostgreSQL is among those that have the machine to themselves (bin/test)."""
    if "postgres" in item.fixturenames:
        item.add_marker("postgres")
    if item.nodeid.startswith("tests/security/"):
        item.add_marker("no_cover")  # that a walk over all pages ran a line says nothing about it, and costs a minute


def pytest_sessionfinish(session):
    shutil.rmtree(environment.HOME, ignore_errors=True)
