"""The documents say what the code does: generated parts are current, nothing is missing from the tables, no link is dead."""

import re
from pathlib import Path

import pytest

from tvapp.management.commands import docs
from tvapp.models import DeskSettings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
READ_ELSEWHERE = ["tvapp/gunicorn.py", "tvapp/wsgi.py", "tvapp/supervisor.py", "tvapp/management/commands/prepare.py", "tvapp/lib/clock.py", "tvapp/lib/crash.py"]
NOT_OURS = {"DJANGO_SETTINGS_MODULE", "PYTHONUNBUFFERED", "OBJC_DISABLE_INITIALIZE_FORK_SAFETY", "Q_CLUSTER_NAME"}


def _text(*names: str) -> str:
    return "\n".join((ROOT / name).read_text() for name in names)


def _variables() -> set[str]:
    """Every environment variable the code asks for, wherever it does."""
    code = _text("tvapp/settings.py", *READ_ELSEWHERE)
    asked = re.findall(r"(?:env\.\w+|environ\.get|getenv|home\.setting)\(\s*\"([A-Z][A-Z0-9_]+)\"", code)
    return set(asked) - NOT_OURS


@pytest.mark.parametrize("file", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_it_is_made_from_the_code_as_it_is(file):
    assert docs.renewed(file) == file.read_text(), "run manage.py docs"


def test_it_knows_the_variables_the_code_asks_for():
    assert {"SECRET_KEY", "DATABASE_URL", "TVAPP_ADMIN_PASSWORD", "WEB_THREADS", "TVAPP_CRASH_AT"} <= _variables()


@pytest.mark.parametrize("name", sorted(_variables()))
def test_it_explains_every_environment_variable(name):
    assert re.search(rf"^#?{name}=", _text(".env.example"), re.M)
    row = re.search(rf"^\| `{name}` \|.*\| (.+) \|$", _text("docs/settings.md"), re.M)
    assert row and len(row[1]) > 10


def test_it_explains_no_variable_that_nobody_reads():
    listed = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", _text(".env.example"), re.M))
    assert listed <= _variables() | {"TVAPP_HOME"}  # read by home.py, before anything else


@pytest.mark.parametrize("field", [f.name for f in DeskSettings._meta.fields if f.editable and not f.primary_key])
def test_it_explains_every_desk_setting(field):
    assert f"| `{field}` |" in _text("docs/settings.md")


@pytest.mark.parametrize("name", sorted(docs.own_commands()))
def test_it_explains_every_command(name):
    assert f"### {name}\n" in _text("docs/commands.md")


def test_it_gives_a_reason_for_every_package():
    wanted = [re.split(r"[=~<>\[]", line)[0].strip() for line in _text("requirements.in").splitlines() if line and line[0] != "#"]
    missing = [name for name in wanted if not re.search(rf"^\|.*\b{name}\b.*\|", _text("docs/adr/0002-libraries.md"), re.M)]
    assert missing == []


def _links() -> list[tuple[Path, str]]:
    found = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())]
    return [(page, link) for page, link in found if not link.startswith(("http://", "https://", "mailto:"))]


@pytest.mark.parametrize(("file", "link"), _links(), ids=lambda x: x.name if isinstance(x, Path) else x)
def test_it_links_only_to_files_that_exist(file, link):
    assert (file.parent / link).exists()


PATHS = sorted({(page, path) for page in PAGES for path in re.findall(r"`((?:tvapp|trading|risk|brokers|analytics|tests|bin|docs)/[\w/.-]*)`", page.read_text())})


@pytest.mark.parametrize(("file", "path"), PATHS, ids=lambda x: x.name if isinstance(x, Path) else x)
def test_it_names_only_files_that_exist(file, path):
    assert (ROOT / path).exists(), f"{file.name} names {path}"
