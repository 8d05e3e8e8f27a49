"""The one stylesheet: contrast of every token pair that is used, tokens instead of colours, and drawings that exist."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from trading.templatetags import desk
from trading.web import context, story, verdict

CSS = (settings.BASE_DIR / "static" / "tvapp.css").read_text()
TEMPLATES = list((settings.BASE_DIR / "templates").rglob("*.html"))
TOKENS = {m[1]: (m[2], m[3]) for m in re.finditer(r"(--[\w-]+):\s*light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", CSS)}
THEMES = {"light": 0, "dark": 1}

GROUNDS = ("--bg", "--surface", "--sunken", "--hover", "--selected")
TEXT = [(ink, ground) for ink in ("--ink", "--ink-2", "--ink-3", "--accent") for ground in GROUNDS]
TEXT += [(word, f"{word}-bg") for word in ("--buy", "--sell", "--pos", "--neg", "--warn", "--info", "--paper", "--live")]
TEXT += [(ink, ground) for ink in ("--ink", "--ink-2") for ground in ("--pos-bg", "--neg-bg", "--warn-bg", "--info-bg", "--mute-bg", "--paper-bg", "--live-bg")]
TEXT += [("--ink-3", g) for g in ("--warn-bg", "--neg-bg")] + [(w, g) for w in ("--pos", "--neg", "--warn", "--info") for g in ("--surface", "--sunken")]
TEXT += [("--on-solid", "--solid"), ("--on-solid", "--solid-hv"), ("--on-live", "--live"), ("--on-paper", "--paper")]
GRAPHIC = [(mark, ground) for mark in ("--line-ctl", "--focus") for ground in ("--surface", "--sunken")]
GRAPHIC += [(f"--mark-{m}", "--surface") for m in ("1", "2", "pos", "neg", "gap")] + [("--live", "--surface"), ("--solid", "--surface")]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, theme: str) -> float:
    high, low = sorted((luminance(TOKENS[t][THEMES[theme]]) for t in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("pair", TEXT, ids=" on ".join)
def test_it_can_be_read_by_everybody(pair, theme):
    assert contrast(*pair, theme) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("pair", GRAPHIC, ids=" on ".join)
def test_it_has_marks_that_can_be_told_from_their_ground(pair, theme):
    assert contrast(*pair, theme) >= 3


def test_it_uses_only_tokens_that_are_there():
    known = set(re.findall(r"(--[\w-]+):", CSS))
    for sheet in ("tvapp.css", "admin-desk.css"):
        used = set(re.findall(r"var\((--[\w-]+)", (settings.BASE_DIR / "static" / sheet).read_text()))
        assert used <= known, used - known


def test_it_keeps_raw_colours_in_the_tokens():
    rules = CSS.split("/* -------------------------------------------------------------------- base */")[1]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?![\w-]*[\s,{>:])", rules) == []


def test_it_draws_only_what_the_sprite_holds():
    sprite = set(re.findall(r'<symbol id="i-([\w-]+)"', (settings.BASE_DIR / "templates/components/icons.html").read_text()))
    asked = {name for page in TEMPLATES for name in re.findall(r'{% icon "([\w-]+)"|href="#i-([\w-]+)"', page.read_text()) for name in name if name}
    looks = [*desk.STATE_LOOK.values(), *verdict._CHIPS.values(), *verdict._RULE_CHIPS.values()]
    asked |= {look[1] for look in looks} | {"bell", "half", "send", "info", *story._KINDS.values()} | {page[2] for page in context.PAGES}
    assert asked <= sprite, asked - sprite


@pytest.mark.parametrize("page", TEMPLATES, ids=lambda p: p.name)
def test_it_formats_nothing_by_hand_and_trusts_no_text(page: Path):
    source = page.read_text()
    for bad in ("|safe", "autoescape off", "floatformat", "intcomma", " style=", "javascript:", "onclick", "hx-on", "http://", "https://"):
        assert bad not in source, bad
