import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from glofnd.data.datasets.emoji import HELD_OUT_VENDOR, Emoji, read_concepts, render
from glofnd.data.sources.npm import VENDORS

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
    return raw


def emoji(path, split="train", **changes):
    return Emoji(path, **{"min_vendors": 1, "max_concepts": None, "image_size": 16, **changes}).split(split)


def names(split, field):
    return [split.classes[field][value] for value in split.labels[field]]


def test_concepts_are_divided_and_a_vendor_is_held_out(emoji_raw):
    train, concepts, vendor = (emoji(emoji_raw, s) for s in ("train", "test-concepts", "test-vendor"))
    assert len(set(names(concepts, "concept"))) == 2
    assert set(names(train, "concept")) | set(names(concepts, "concept")) == set(train.classes["concept"])
    assert not set(names(train, "concept")) & set(names(concepts, "concept"))
    assert set(names(vendor, "concept")) == set(names(train, "concept"))
    assert set(names(vendor, "vendor")) == {HELD_OUT_VENDOR}
    assert set(names(train, "vendor")) == set(names(concepts, "vendor")) == set(VENDORS) - {HELD_OUT_VENDOR}
    assert train.classes == concepts.classes == vendor.classes
    assert len(train.classes["concept"]) == 10 and "dark skin tone" not in train.classes["concept"]
    assert not any("unknown" in payload[0] or "old-star" in payload[0] for payload in train.payloads)


def test_matching_by_code_point_and_by_name(emoji_raw):
    found = {}
    for split in ("train", "test-concepts"):
        built = emoji(emoji_raw, split)
        found.update(zip((payload[0] for payload in built.payloads), names(built, "concept"), strict=True))
    assert found["noto/secret"] == "moon"
    assert found["twemoji/pinata"] == "piñata"
    assert found["twemoji/flag-for-france"] == "flag: France"
    assert found["twemoji/tophat"] == "top hat"
    assert "fxemoji/star" not in found and "emojione/star" in found


def test_pictures_drawn_alike_stay_on_one_side(emoji_raw):
    for seed in range(12):
        split = emoji(emoji_raw, "test-concepts", split_seed=seed)
        assert len({"person", "man"} & set(names(split, "concept"))) != 1


def test_skin_tones_are_variants_of_their_concept(emoji_raw):
    parts = ("train", "test-concepts")
    plain = [emoji(emoji_raw, part, skin_tones=False) for part in parts]
    toned = [emoji(emoji_raw, part, skin_tones=True) for part in parts]
    assert sum(map(len, toned)) == sum(map(len, plain)) + len(VENDORS) - 1
    part = next(part for part in toned if "waving hand" in names(part, "concept"))
    captions = [c[0] for c, name in zip(part.captions, names(part, "concept"), strict=True) if name == "waving hand"]
    assert Counter(captions) == {"waving hand, x": 7, "waving hand: dark skin tone, x": 7}


def test_selection_by_vendors_groups_and_number(emoji_raw):
    assert "star" in emoji(emoji_raw, min_vendors=6).classes["concept"]
    assert "star" not in emoji(emoji_raw, min_vendors=7).classes["concept"]
    faces = emoji(emoji_raw, groups=["faces"])
    assert faces.classes["group"] == ["faces"] and len(faces.classes["concept"]) == 5
    assert emoji(emoji_raw, subgroups=["two"]).classes["subgroup"] == ["two"]
    few = [emoji(emoji_raw, max_concepts=5, split_seed=s).classes["concept"] for s in range(4)]
    assert {len(concepts) for concepts in few} == {5} and len({tuple(concepts) for concepts in few}) > 1
    assert few[0] == emoji(emoji_raw, max_concepts=5).classes["concept"]


def test_impossible_selections_are_refused(emoji_raw):
    with pytest.raises(ValueError, match="subgroups: 'none' is none of one, three, two"):
        emoji(emoji_raw, subgroups=["none"])


def test_rendering_on_white_and_centred():
    wide = ("a/b", '<rect width="32" height="16" fill="#f00"/>', (0, 0, 32, 16), 16)
    with Image.open(io.BytesIO(render(wide))) as image:
        pixels = np.asarray(image)
        assert image.mode == "RGB" and image.size == (16, 16)
    assert (pixels[:4] == 255).all() and (pixels[12:] == 255).all()
    assert (pixels[4:12] == [255, 0, 0]).all()


@pytest.mark.parametrize("body", ["<circle", '<path d="M0 0"/></svg><svg>'])
def test_a_drawing_that_does_not_render_is_named(body):
    with pytest.raises(ValueError, match="emoji noto/broken cannot be rendered"):
        render(("noto/broken", body, (0, 0, 16, 16), 16))


def test_ambiguous_names_are_left_out(emoji_raw):
    path = emoji_raw / "twemoji/chars.json"
    path.write_text(json.dumps({"1f600": "red-apple", "1f601": "red-apple"}))
    icons = json.loads((emoji_raw / "twemoji/icons.json").read_text())
    matched = {name for name, _, _ in read_concepts(emoji_raw).match(icons, json.loads(path.read_text()))}
    assert "red-apple" not in matched and "star" in matched
