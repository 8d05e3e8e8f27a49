"""compose.yaml and what it brings along: a desk in containers, without a secret in the repository. Its commands and names are those of the code."""

import re
from pathlib import Path

import pytest
import yaml
from django.urls import resolve

from tvapp import supervisor
from tvapp.management.commands import docs

ROOT = Path(__file__).resolve().parents[1]
PROXY = (ROOT / "deploy/nginx.conf").read_text()
EXAMPLE = (ROOT / "deploy/env.example").read_text()
PARTS = {"prepare", "web", "workers"}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def _names(text: str) -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.M))


def _seconds(setting: str, text: str) -> float:
    number, unit = re.search(rf"{setting}\s+(\d+)(ms|s);", text).groups()
    return int(number) / (1000 if unit == "ms" else 1)


def test_it_consists_of_a_proxy_the_desk_s_parts_a_database_and_a_cache(compose):
    services = compose["services"]
    assert set(services) == {"proxy", "database", "cache"} | PARTS
    images = {service["image"] for service in services.values()}
    assert all(re.fullmatch(r"[a-z]+:[\w.-]*\w", image) and "latest" not in image for image in images)
    assert [name for name, service in services.items() if service.get("ports")] == ["proxy"]
    assert "/var/lib/postgresql/data" in services["database"]["volumes"][0] and compose["volumes"] == {"database": {}}
    lasting = set(services) - PARTS
    assert all("test" in services[name]["healthcheck"] for name in lasting)  # the desk's own is in the Dockerfile
    assert "tvapp.supervisor" in (ROOT / "Dockerfile").read_text().partition("HEALTHCHECK")[2]


def test_it_prepares_once_and_then_serves_in_one_container_and_works_in_another(compose):
    services = compose["services"]
    assert services["prepare"]["restart"] == "no" and services["prepare"]["command"][:2] == ["python", "manage.py"]
    assert services["prepare"]["command"][2] in docs.own_commands()
    assert services["prepare"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("web", "workers"):
        assert services[name]["environment"]["TVAPP_ROLE"] == name and name in supervisor.ROLES
        assert services[name]["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}


def test_it_takes_every_secret_from_a_file_that_is_not_in_the_repository(compose):
    services = compose["services"]
    assert {services[name]["env_file"] for name in PARTS} == {".env"}
    ignored = [(ROOT / name).read_text().split() for name in (".gitignore", ".dockerignore")]
    assert ".env" in ignored[0] and "**/.env" in ignored[1] and "certificates/" in ignored[0]
    password = services["database"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${POSTGRES_PASSWORD:?") and password in services["web"]["environment"]["DATABASE_URL"]
    given = dict(re.findall(r"^([A-Z][A-Z0-9_]+)=(.*)$", EXAMPLE, re.M))
    assert {name for name, value in given.items() if not value} == {"POSTGRES_PASSWORD", "SECRET_KEY", "FIELD_KEYS", "TVAPP_ADMIN_PASSWORD"}


def test_it_sets_only_what_the_desk_knows(compose):
    known = _names((ROOT / ".env.example").read_text())
    given = _names(EXAMPLE) - {"POSTGRES_PASSWORD"}
    assert given | {name for part in PARTS for name in compose["services"][part]["environment"]} <= known


def test_its_proxy_never_answers_504_and_answers_alerts_before_their_sender_gives_up(compose):
    assert re.search(r"error_page 504 =502 /out-of-reach;", PROXY) and "location = /out-of-reach { internal; access_log off; return 502; }" in PROXY
    pattern, alerts = re.search(r"location ~ (\S+) \{(.*?)\}", PROXY, re.S).groups()
    assert "access_log off;" in alerts and "error_page" not in alerts
    assert _seconds("proxy_connect_timeout", alerts) < _seconds("proxy_read_timeout", alerts) < 3
    for path in ("/webhook", "/webhook/tradingview", "/api/webhook/tradingview", "/webhook/tv/token", "/postback/zerodha/token"):
        assert resolve(path) and re.match(pattern, path)
    host, port = re.search(r"set \$desk http://(\w+):(\d+);", PROXY).groups()
    assert compose["services"][host]["expose"] == [port] and "PORT=" + port in (ROOT / "Dockerfile").read_text()
    assert any(volume.startswith("./deploy/nginx.conf:") for volume in compose["services"]["proxy"]["volumes"])
