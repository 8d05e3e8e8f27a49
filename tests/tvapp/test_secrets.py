"""The encrypted text field: what is written cannot be read without a key, and what was tampered with cannot be read at all."""

import pytest
from django.core.exceptions import FieldError
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from brokers.models import BrokerAccount
from brokers.secrets import EncryptedText, SecretUnreadable, seal, unseal
from tests.tvapp.people import person

ONE, TWO = "first-key-" + "a" * 34, "second-key-" + "b" * 33


@pytest.fixture(autouse=True)
def _keys(settings):
    settings.FIELD_KEYS = [ONE]


@pytest.fixture
def account(db) -> BrokerAccount:
    return BrokerAccount.objects.create(owner=person("asha"), name="kite", credentials="api-key:geheim")


def _raw(account: BrokerAccount) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT credentials FROM brokers_brokeraccount WHERE id = %s", [account.pk])
        return bytes(cursor.fetchone()[0])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_it_gives_back_every_text(text):
    assert unseal(seal(text)) == text


def test_it_never_writes_the_same_text_alike():
    assert len({seal("token") for _ in range(20)}) == 20


def test_it_reads_with_an_old_key_and_writes_with_the_new_one(settings):
    old = seal("token")
    settings.FIELD_KEYS = [TWO, ONE]
    assert unseal(old) == "token"
    fresh = seal("token")
    settings.FIELD_KEYS = [TWO]
    assert unseal(fresh) == "token"
    with pytest.raises(SecretUnreadable):
        unseal(old)


def test_it_stays_closed_with_a_wrong_key(settings):
    blob = seal("token")
    settings.FIELD_KEYS = [TWO]
    with pytest.raises(SecretUnreadable):
        unseal(blob)


@pytest.mark.parametrize("bit", range(8))
def test_it_notices_a_flipped_bit_anywhere(bit):
    blob = seal("token")
    for at in range(len(blob)):
        with pytest.raises(SecretUnreadable):
            unseal(blob[:at] + bytes([blob[at] ^ 1 << bit]) + blob[at + 1 :])


@pytest.mark.parametrize("part", [slice(0, 0), slice(0, 8), slice(0, -1), slice(1, None)])
def test_it_notices_a_missing_part(part):
    with pytest.raises(SecretUnreadable):
        unseal(seal("token")[part])


def test_it_does_not_depend_on_the_key_that_signs_sessions(settings):
    blob = seal("token")
    settings.SECRET_KEY = "another"
    assert unseal(blob) == "token"


def test_it_is_ciphertext_in_the_database_and_text_in_python(account):
    assert b"geheim" not in _raw(account)
    account.refresh_from_db()
    assert account.credentials == "api-key:geheim"


def test_it_keeps_nothing_as_nothing(account):
    account.credentials = None
    account.save()
    account.refresh_from_db()
    assert account.credentials is None
    assert BrokerAccount.objects.filter(credentials__isnull=True).exists()


def test_it_cannot_be_searched_for(account):
    with pytest.raises(FieldError):
        BrokerAccount.objects.filter(credentials="api-key:geheim").exists()


def test_it_opens_no_secret_whose_key_is_gone_but_shows_the_account(account, settings):
    settings.FIELD_KEYS = [TWO]
    found = BrokerAccount.objects.get(pk=account.pk)
    assert found.name == "kite"
    with pytest.raises(SecretUnreadable):
        _ = found.credentials


def test_it_writes_back_what_nobody_opened_as_it_was(account, settings):
    before = _raw(account)
    settings.FIELD_KEYS = [TWO]
    found = BrokerAccount.objects.get(pk=account.pk)
    found.capital = 7
    found.save()
    assert _raw(account) == before
    found.credentials = "typed-anew"
    found.save()
    assert BrokerAccount.objects.get(pk=account.pk).credentials == "typed-anew"


def test_it_opens_nothing_for_a_list_or_a_join(account, monkeypatch):
    monkeypatch.setattr("brokers.secrets.unseal", lambda blob: pytest.fail("opened"))
    assert repr(list(BrokerAccount.objects.values_list("credentials", flat=True))) == "[<sealed>]"
    assert BrokerAccount.objects.select_related("owner").get(pk=account.pk).name == "kite"


def test_it_leaves_no_trace_in_the_history(account):
    account.capital = 5
    account.save()
    assert "geheim" not in str(list(account.history.values()))
    assert not hasattr(account.history.first(), "credentials")


def test_it_puts_no_key_into_migrations():
    _, path, args, kwargs = EncryptedText(null=True).deconstruct()
    assert (path, args, kwargs) == ("brokers.secrets.EncryptedText", [], {"null": True})
