"""Loaded before Django's settings: a home of its own under a temporary folder, test mode, no secrets of the machine's owner."""

import os
import tempfile

HOME = tempfile.mkdtemp(prefix="tvapp-test-home-")
for name in ("DATABASE_URL", "TVAPP_BASE_URL", "TV_IP_ALLOWLIST", "TVAPP_ALLOW_LIVE", "TVAPP_CRASH_AT", "TVAPP_TIME_SCALE", "PORT", "HOST",
             "KITE_API_KEY", "KITE_API_SECRET", "KITE_ROOT_URL", "KITE_LOGIN_URL"):  # fmt: skip
    os.environ.pop(name, None)
os.environ.update(
    TVAPP_HOME=HOME,
    TVAPP_TEST="1",
    TVAPP_PROFILE="local",
    TRADINGVIEW_WEBHOOK_SECRET="installation-secret-1",
    LOG_LEVEL="ERROR",
)
if os.environ.get("TEST_DATABASE_URL"):  # the in-process tests on a PostgreSQL server, whose `test_...` databases they make and drop
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
