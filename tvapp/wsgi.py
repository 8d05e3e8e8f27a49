"""The web process: what gunicorn serves."""

import os
import sys

from tvapp import home

home.ensure()
if not home.setting("TVAPP_DB_WAIT"):
    os.environ["TVAPP_DB_WAIT"] = "2"  # TradingView waits 3 s: a 503 it resends must come before that
if not home.setting("DATABASE_URL").startswith("postgres"):
    sys.modules.setdefault("psycopg", None)  # REST framework would load the driver of a database that is not used, for its field types
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tvapp.settings")

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import get_resolver  # noqa: E402

application = get_wsgi_application()
get_resolver().url_patterns  # noqa: B018  imports every view now, so that the first alert does not wait for it
