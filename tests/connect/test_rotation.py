"""Changing the key of the encrypted columns while the desk runs."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from brokers import rotation
from brokers.models import BrokerAccount, BrokerSession
from brokers.secrets import SecretUnreadable
from tests.tvapp.people import person
from tvapp.lib import clock

ONE, TWO, THREE = (f"{name}-key-{'x' * 32}" for name in ("first", "second", "third"))


@pytest.fixture
def accounts(db, settings):
    settings.FIELD_KEYS = [ONE]
    owner = person("asha")
    made = [BrokerAccount.objects.create(owner=owner, name=f"a{n}", broker="zerodha", credentials=f"secret-{n}") for n in range(7)]
    BrokerSession.objects.create(account=made[0], access_token="access", request_token="request", updated_at=clock.now())
    return made


def _run(*words) -> str:
    said = StringIO()
    call_command("rotate_keys", *words, stdout=said)
    return said.getvalue().strip()


def _secrets() -> list[str]:
    return [*(a.credentials for a in BrokerAccount.objects.order_by("name")), *(s.access_token for s in BrokerSession.objects.all())]


def test_it_finds_every_encrypted_column():
    named = {f"{m.__name__}.{f.name}" for m, f in rotation.columns()}
    assert {"BrokerAccount.credentials", "BrokerSession.access_token", "BrokerSession.request_token"} <= named


def test_it_lets_an_old_key_go_and_another_after_it(accounts, settings, monkeypatch):
    monkeypatch.setattr(rotation, "BATCH", 3)
    before = _secrets()
    for keys in ([TWO, ONE], [THREE, TWO]):
        settings.FIELD_KEYS = keys
        with pytest.raises(CommandError, match="9 of 9 values still need an old key"):
            _run("--check")
        assert _run() == "All 9 values are under the first key, 9 of them written anew."
        assert _run() == _run("--check") == "All 9 values are under the first key, 0 of them written anew."
    settings.FIELD_KEYS = [THREE]
    assert _secrets() == before


def test_it_goes_on_where_it_was_broken_off(accounts, settings, monkeypatch):
    settings.FIELD_KEYS = [TWO, ONE]

    def killed(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(write=True, progress=killed)
    assert rotation.rotate(write=True).written == 5


def test_it_lets_somebody_who_writes_at_the_same_time_win(accounts, settings, monkeypatch):
    settings.FIELD_KEYS = [TWO, ONE]
    seal = rotation.seal

    def late(text):
        if text == "secret-0":
            BrokerAccount.objects.filter(pk=accounts[0].pk).update(credentials="typed-meanwhile")
        return seal(text)

    monkeypatch.setattr(rotation, "seal", late)
    assert (rotation.rotate(write=True).old, rotation.rotate(write=True).old) == (1, 0)
    assert BrokerAccount.objects.get(pk=accounts[0].pk).credentials == "typed-meanwhile"


def test_it_says_which_values_no_key_opens_and_leaves_them(accounts, settings):
    settings.FIELD_KEYS = [TWO]
    with pytest.raises(CommandError, match="9 of 9 values are opened by no key"):
        _run()
    settings.FIELD_KEYS = [ONE]
    assert BrokerAccount.objects.get(pk=accounts[0].pk).credentials == "secret-0"


def test_it_leaves_an_account_readable_whose_key_is_lost(accounts, settings):
    settings.FIELD_KEYS = [TWO]
    assert BrokerAccount.objects.get(pk=accounts[0].pk).name == "a0"
    with pytest.raises(SecretUnreadable):
        _ = BrokerAccount.objects.get(pk=accounts[0].pk).credentials
