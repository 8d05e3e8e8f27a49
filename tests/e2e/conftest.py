"""Real Chromium against the real desk."""

import os
import shutil

import pytest
from playwright.sync_api import expect

from tests.process.desk import RunningDesk, running_desk

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # the browser's driver runs a loop; the desk is another process anyway


expect.set_options(timeout=20_000)  # how soon is another question: here only what comes counts


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """The system's Chromium; nothing is downloaded."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    return {**browser_type_launch_args, "executable_path": chromium, "args": quiet}


@pytest.fixture(scope="session")
def desk():
    with running_desk(RunningDesk(wide=False)) as desk:
        yield desk


@pytest.fixture(scope="session")
def base_url(desk):
    return f"http://127.0.0.1:{desk.port}"
