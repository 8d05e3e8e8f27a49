"""Django's settings. Everything a person may set comes from the environment (docs/settings.md) or from the admin (DeskSettings)."""

import os
from importlib.util import find_spec
from pathlib import Path

import environ

from tvapp import home

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = home.ensure()
env = environ.Env()
environ.Env.read_env(HOME / ".env")  # never overrides what the environment says

VERSION = "0.1.0"
TEST_MODE = env.bool("TVAPP_TEST", False)
if not TEST_MODE and any(os.environ.get(name) for name in ("TVAPP_CRASH_AT", "TVAPP_CRASH_DIR", "TVAPP_TIME_SCALE")):
    raise SystemExit("TVAPP_CRASH_AT, TVAPP_CRASH_DIR and TVAPP_TIME_SCALE are for tests: set TVAPP_TEST=1 or unset them.")
PROFILE = env.str("TVAPP_PROFILE", "local")
PRODUCTION = PROFILE == "production"
DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
FIELD_KEYS = env.list("FIELD_KEYS")
PORT = env.int("PORT", 8000)
HOST = env.str("HOST", "127.0.0.1")
BASE_URL = env.str("TVAPP_BASE_URL", "") or f"http://{'localhost' if HOST in ('0.0.0.0', '::') else HOST}:{PORT}"  # noqa: S104
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
TRUSTED_PROXY_HOPS = env.int("TRUSTED_PROXY_HOPS", 0)
TRADINGVIEW_ADDRESSES = ["52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7"]
TV_IP_ALLOWLIST = env.list("TV_IP_ALLOWLIST", default=TRADINGVIEW_ADDRESSES if PRODUCTION else [])
TRADINGVIEW_WEBHOOK_SECRET = env.str("TRADINGVIEW_WEBHOOK_SECRET", "")
ALLOW_LIVE = env.bool("TVAPP_ALLOW_LIVE", False)
KITE_API_KEY = env.str("KITE_API_KEY", "")
KITE_API_SECRET = env.str("KITE_API_SECRET", "")
KITE_PRODUCTION_ROOT = "https://api.kite.trade"
KITE_ROOT_URL = env.str("KITE_ROOT_URL", "") or KITE_PRODUCTION_ROOT
KITE_LOGIN_URL = env.str("KITE_LOGIN_URL", "") or (
    "https://kite.zerodha.com/connect/login" if KITE_ROOT_URL == KITE_PRODUCTION_ROOT else f"{KITE_ROOT_URL}/connect/login"
)
Q_WORKERS = env.int("Q_WORKERS", 2)

INSTALLED_APPS = [
    "tvapp.apps.DeskAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_q",
    "simple_history",
    "csp",
    "tvapp.apps.TvappConfig",
    "brokers",
    "risk",
    "trading",
    "analytics",
]
MIDDLEWARE = [
    "tvapp.middleware.CorrelationMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tvapp.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]
ROOT_URLCONF = "tvapp.urls"
WSGI_APPLICATION = "tvapp.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "trading.web.context.desk",
            ],
            "builtins": ["trading.templatetags.desk"],
        },
    }
]

# ---------------------------------------------------------------------------- database
DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{HOME}/tvapp.sqlite3")}
DATABASES["default"]["CONN_MAX_AGE"] = None
DATABASES["default"]["ATOMIC_REQUESTS"] = False  # with IMMEDIATE every GET would take the write lock
ON_SQLITE = "sqlite" in DATABASES["default"]["ENGINE"]
DB_WAIT_S = env.int("TVAPP_DB_WAIT", 10)  # the web process sets 2 before this line is read
if ON_SQLITE:
    DATABASES["default"]["ENGINE"] = "tvapp.sqlite"
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": DB_WAIT_S,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000;",
    }
else:  # PostgreSQL; what the address itself says (?sslmode=require) stays
    _GIVEN = DATABASES["default"].get("OPTIONS", {})
    _LIMITS = f"-c lock_timeout={DB_WAIT_S}s -c statement_timeout={DB_WAIT_S + 3}s -c idle_in_transaction_session_timeout=10s"
    _WIRE = {"connect_timeout": DB_WAIT_S, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 10_000}
    DATABASES["default"]["OPTIONS"] = {**_WIRE, **_GIVEN, "options": f"{_LIMITS} {_GIVEN.get('options', '')}".strip()}
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # a server that was restarted costs no request and no task

# ---------------------------------------------------------------------------- queue
# The ORM broker commits a ring together with the order; the reasons for each figure are in docs/adr/0003-queue.md.
Q_CLUSTER = {
    "name": "orders",
    "orm": "default",
    "broker_class": "tvapp.wakeup.Broker",
    "workers": Q_WORKERS,
    "bulk": 1,
    "queue_limit": Q_WORKERS,
    "poll": 1,
    "timeout": 60,
    "retry": 180,
    "recycle": 1_000_000_000,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "save_limit": 500,
    "log_level": "WARNING",
    "ALT_CLUSTERS": {
        "batch": {"workers": 1, "queue_limit": 1, "timeout": 600, "retry": 1500},
    },
}

# ---------------------------------------------------------------------------- web
REDIS_URL = env.str("REDIS_URL", "")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if REDIS_URL:  # in a list, because Django takes a text apart at commas
    CACHES = {"default": {"BACKEND": "tvapp.cache.SharedCache", "LOCATION": [REDIS_URL], "KEY_PREFIX": "tvapp"}}
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "Asia/Kolkata"  # what pages and the admin show; everything is stored in UTC
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "tvapp.formats"
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
_PLOTLY = Path((find_spec("plotly").submodule_search_locations or [""])[0]) / "package_data"  # the bundle, without importing plotly
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "tvapp.staticfiles.PlotlyFinder",
]
PLOTLY_BUNDLE = _PLOTLY / "plotly.min.js"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = False
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "tvapp.errors.csrf_failure"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
if PRODUCTION:
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
if TRUSTED_PROXY_HOPS > 0:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tvapp.people.auth.TokenAuthentication", "rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tvapp.parsers.BodyParser", "rest_framework.parsers.FormParser"],
    "DEFAULT_THROTTLE_CLASSES": [] if TEST_MODE else ["tvapp.throttles.ReadThrottle", "tvapp.throttles.WriteThrottle"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tvapp.errors.api_exception",
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
THROTTLES = {
    "anon": env.str("THROTTLE_ANON", "60/60s"),
    "read": env.str("THROTTLE_READ", "400/10s"),
    "write": env.str("THROTTLE_WRITE", "1200/60s"),
    "order": env.str("THROTTLE_ORDER", "600/60s"),
    "export": env.str("THROTTLE_EXPORT", "10/60s"),
}
SPECTACULAR_SETTINGS = {
    "TITLE": "tvapp",
    "DESCRIPTION": "The desk between TradingView and a broker.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "PREPROCESSING_HOOKS": ["tvapp.schema.without_slash_twins"],
    "ENUM_NAME_OVERRIDES": {
        "OrderStatusEnum": "trading.models.OrderStatus",
        "ModeEnum": "trading.models.Mode",
        "ProductEnum": "trading.models.Product",
        "OrderTypeEnum": "trading.models.OrderType",
        "ScopeEnum": "risk.models.Scope",
    },
}

# ---------------------------------------------------------------------------- logs
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOG_FORMAT = env.str("LOG_FORMAT", "text" if os.isatty(2) else "json")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"context": {"()": "tvapp.lib.log.ContextFilter"}},
    "formatters": {"json": {"()": "tvapp.lib.log.JsonFormatter"}, "text": {"()": "tvapp.lib.log.TextFormatter"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["context"]}},
    "root": {"handlers": ["out"], "level": LOG_LEVEL},
    "loggers": {
        "django-q": {"handlers": ["out"], "level": "WARNING", "propagate": False},
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # strangers' Host headers are answered 400, not told at length
        "gunicorn.error": {"level": "WARNING"},
    },
}
