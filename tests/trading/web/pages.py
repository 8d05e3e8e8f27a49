"""What the page tests share: a signed-in browser without a script, and orders of one person."""

from types import SimpleNamespace

import pytest
from django.test import Client

from tests import factories as make
from tvapp.people import roles


@pytest.fixture
def me(db):
    """A trader with one strategy, signed in."""
    user = make.UserFactory()
    roles.assign(user, roles.TRADER)
    client = Client()
    client.force_login(user)
    return SimpleNamespace(user=user, client=client, strategy=make.StrategyFactory(owner=user, name="Breakout"))


def waiting(me, **changes):
    return make.OrderFactory(strategy=me.strategy, **changes)


def text(response) -> str:
    return response.content.decode()


HTMX = {"HX-Request": "true"}
