import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from glofnd.data.datasets.emoji import HELD_OUT_VENDOR, Emoji, render, split_concepts
from glofnd.data.datasets.emoji_names import read_concepts, slug
from glofnd.data.sources.emoji import VENDORS


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


def test_components_and_unknown_icons_are_left_out(emoji_raw):
    split = emoji(emoji_raw)
    assert len(split.classes["concept"]) == 10 and "dark skin tone" not in split.classes["concept"]
    assert not any("unknown" in payload[0] for payload in split.payloads)
    assert not any("old-star" in payload[0] for payload in split.payloads)


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


def test_caption_forms(emoji_raw):
    assert emoji(emoji_raw, caption="label", groups=["faces"]).captions[0] == ["red apple"]
    assert emoji(emoji_raw, groups=["faces"]).captions[0] == ["red apple, x"]


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


def test_slugs():
    assert slug("flag: Côte d\N{RIGHT SINGLE QUOTATION MARK}Ivoire") == "flag-cote-divoire"
    assert slug("A button (blood type)") == "a-button-blood-type"
    assert slug("keycap: #") == "keycap-hash"


def test_ambiguous_names_are_left_out(emoji_raw):
    path = emoji_raw / "twemoji/chars.json"
    path.write_text(json.dumps({"1f600": "red-apple", "1f601": "red-apple"}))
    icons = json.loads((emoji_raw / "twemoji/icons.json").read_text())
    matched = {name for name, _, _ in read_concepts(emoji_raw).match(icons, json.loads(path.read_text()))}
    assert "red-apple" not in matched and "star" in matched


def test_the_split_is_a_fifth_by_clusters():
    concepts = list(range(100))
    clusters = {c: c // 2 * 2 for c in concepts}
    train, test = split_concepts(concepts, clusters, seed=3)
    assert len(test) == 20 and train | test == set(concepts) and not train & test
    assert all((c ^ 1) in test for c in test)
    assert split_concepts(concepts, clusters, seed=4)[1] != test
