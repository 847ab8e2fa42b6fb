"""Tiny sources and shards, made on the spot."""

import json

import pytest
from tiny_data import tiny_split, write

from glofnd.data.sources.emoji import VENDORS


@pytest.fixture
def shards(tmp_path):
    """22 samples in 3 shards; picture i is filled with the value i; three captions each."""
    out = tmp_path / "shards"
    write(tiny_split(), out)
    return out


# What a vendor calls its icon -> Unicode's label.
ICONS = {
    "red-apple": "red apple",
    "pinata": "piñata",
    "flag-for-france": "flag: France",
    "waving-hand": "waving hand",
    "ballot-box": "ballot box",
    "tophat": "top hat",
    "person": "person",
    "man": "man",
    "moon": "moon",
    "star": "star",
}


def _circle(red, green, blue):
    return f'<circle cx="8" cy="8" r="6" fill="rgb({red},{green},{blue})"/>'


@pytest.fixture
def emoji_raw(tmp_path):
    """Ten concepts by eight vendors, one with skin tones, two that a vendor draws alike, and one component."""
    raw = tmp_path / "emoji"
    entries = []
    for number, label in enumerate(ICONS.values()):
        entry = {"label": label, "hexcode": f"1F60{number:X}", "group": number % 2, "subgroup": number % 3}
        entry["tags"] = ["x"]
        if label == "waving hand":
            skin = {"label": "waving hand: dark skin tone", "hexcode": "1F603-1F3FF", "tone": 5}
            entry["skins"] = [skin]
        entries.append(entry)
    entries.append({"label": "dark skin tone", "hexcode": "1F3FF", "group": 2, "subgroup": 3})
    entries.append({"label": "regional indicator A", "hexcode": "1F1E6"})
    groups = {
        "groups": {"0": "faces", "1": "things", "2": "component"},
        "subgroups": {"0": "one", "1": "two", "2": "three", "3": "tones"},
    }
    (raw / "emojibase").mkdir(parents=True)
    (raw / "emojibase/data.json").write_text(json.dumps(entries))
    (raw / "emojibase/groups.json").write_text(json.dumps(groups))
    for place, vendor in enumerate(VENDORS):
        icons = {name: {"body": _circle(20 * place, 20 * n, 100)} for n, name in enumerate(ICONS)}
        icons["waving-hand-dark-skin-tone"] = {"body": _circle(20 * place, 0, 0), "width": 32, "height": 16}
        icons["unknown-thing"] = {"body": _circle(0, 0, 0)}
        icons["dark-skin-tone"] = {"body": _circle(0, 0, 0)}
        chars = {}
        if vendor == "noto":
            icons["man"]["body"] = icons["person"]["body"]
            icons["secret"] = icons.pop("moon")
            icons["old-star"] = {"body": _circle(1, 1, 1), "hidden": True}
            chars = {"1f608": "secret", "1f609": "star"}
        if vendor == "fxemoji":
            del icons["star"], icons["moon"]
        folder = raw / vendor
        folder.mkdir()
        (folder / "icons.json").write_text(json.dumps({"icons": icons, "width": 16, "height": 16}))
        (folder / "chars.json").write_text(json.dumps(chars))
        info = {"name": vendor, "author": {"name": "A"}, "license": {"title": "MIT", "spdx": "MIT"}}
        (folder / "info.json").write_text(json.dumps(info))
    return raw
