"""Every model has its factory, and each makes a row that stands."""

import pytest
from django.apps import apps
from factory.django import DjangoModelFactory

from tests import factories

ALL = [f for f in vars(factories).values() if isinstance(f, type) and issubclass(f, DjangoModelFactory) and f is not DjangoModelFactory]


def test_it_has_one_factory_for_every_model():
    ours = {m for app in ("tvapp", "brokers", "risk", "trading", "analytics") for m in apps.get_app_config(app).get_models()}
    wanted = {m for m in ours if not m.__name__.startswith("Historical")}
    assert wanted <= {f._meta.model for f in ALL}


@pytest.mark.django_db
@pytest.mark.parametrize("maker", ALL, ids=lambda f: f.__name__)
def test_it_makes_a_row_that_can_be_read_again(maker):
    row = maker()
    assert type(row)._default_manager.get(pk=row.pk) == row
