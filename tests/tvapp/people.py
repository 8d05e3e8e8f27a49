"""People with a role, and a browser that is signed in as one of them."""

from django.contrib.auth.models import User
from django.test import Client

from brokers.models import BrokerAccount
from trading.models import Strategy
from tvapp.people import roles


def person(name: str, role: str = roles.TRADER) -> User:
    user = User.objects.create_user(name, password="a-long-Passw0rd")
    roles.assign(user, role)
    return user


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def strategy_of(user: User, name: str = "orb", **fields) -> Strategy:
    account, _ = BrokerAccount.objects.get_or_create(owner=user, name=f"paper-{user.username}")
    return Strategy.objects.create(owner=user, name=name, account=account, **fields)
