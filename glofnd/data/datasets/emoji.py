"""Emoji of eight vendors: one concept drawn by many hands.

Two drawings of one concept are a false negative by construction, whoever drew them. Concepts, not pictures, are divided
into splits; concepts that some vendor draws identically (a "person" that is its "man") stay on one side.

    train          80 % of the concepts, seven vendors
    test-concepts  the other 20 %, the same vendors
    test-vendor    the concepts of train, drawn by the vendor held out
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image

from glofnd.counter_random import permutation
from glofnd.data.datasets.emoji_names import Concept, Names, read_concepts
from glofnd.data.emoji_groups import EmojiGroup
from glofnd.data.options import ImageSize, Shards, SplitSeed
from glofnd.data.picture_files import encoded
from glofnd.data.sources.emoji import VENDORS
from glofnd.data.split import Split
from glofnd.files import read_json
from glofnd.parameters import Range, checked

__all__ = ["HELD_OUT_VENDOR", "Drawing", "emoji", "render", "split_concepts"]

# Iconify's names and defaults for an icon's view box.
_FRAME = (("left", 0), ("top", 0), ("width", 16), ("height", 16))
HELD_OUT_VENDOR = "fluent-emoji-flat"
TEST_SHARE = 0.2
_ALL: list[Any] = []


@dataclass(frozen=True)
class Drawing:
    """One vendor's picture of a concept or a skin tone of it. `body` is SVG; `frame` is left, top, width, height."""

    vendor: str
    name: str
    concept: int
    caption: str
    tone: bool
    body: str
    frame: tuple[float, float, float, float]


def render(payload: tuple[str, str, tuple[float, float, float, float], int]) -> bytes:
    """PNG of (name, SVG body, frame, size) on white, centred in a square.

    Raises:
        ValueError: naming the picture, when it is no valid SVG or does not give a picture of that size.
    """
    name, body, frame, size = payload
    import resvg_py

    box = " ".join(f"{value:g}" for value in frame)
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{size}" height="{size}">{body}</svg>'
    )
    try:
        data = resvg_py.svg_to_bytes(svg_string=svg, background="#ffffff", dpi=96, skip_system_fonts=True)
        with Image.open(io.BytesIO(data)) as image:
            if image.size != (size, size):
                raise ValueError(f"rendered as {image.size[0]} x {image.size[1]}")
            return encoded(image.convert("RGB"))
    except (ValueError, OSError) as error:
        raise ValueError(f"emoji {name} cannot be rendered: {error}") from error


def _drawings(raw: Path, vendor: str, names: Names) -> list[Drawing]:
    icons = read_json(raw / vendor / "icons.json")
    found = []
    for name, icon, key in names.match(icons, read_json(raw / vendor / "chars.json")):
        sides = [icon.get(side, icons.get(side, default)) for side, default in _FRAME]
        variant = names.variants[key]
        found.append(Drawing(vendor, name, variant.concept, variant.label, variant.tone, icon["body"], tuple(sides)))
    return found


def _clusters(drawings: Iterable[Drawing]) -> dict[int, int]:
    """Concept -> smallest concept it is tied to by pictures that one vendor draws identically (union-find)."""
    parent: dict[int, int] = {}

    def root(concept: int) -> int:
        while parent.setdefault(concept, concept) != concept:
            concept = parent[concept]
        return concept

    first: dict[tuple[str, str], int] = {}
    for drawing in drawings:
        one, other = root(first.setdefault((drawing.vendor, drawing.body), drawing.concept)), root(drawing.concept)
        parent[max(one, other)] = min(one, other)
    return {concept: root(concept) for concept in parent}


def split_concepts(concepts: list[int], clusters: dict[int, int], seed: int) -> tuple[set[int], set[int]]:
    """(train, test): clusters in seeded order go to test as long as it holds at most `TEST_SHARE` of the concepts."""
    members: dict[int, list[int]] = {}
    for concept in concepts:
        members.setdefault(clusters[concept], []).append(concept)
    groups = list(members.values())
    room = round(TEST_SHARE * len(concepts))
    test: set[int] = set()
    for position in permutation(len(groups), seed=seed, stream=1):
        if len(test) + len(groups[position]) <= room:
            test.update(groups[position])
    return set(concepts) - test, test


def _eligible(
    concepts: list[Concept], drawings: list[Drawing], wanted: Callable[[Concept], bool], min_vendors: int
) -> list[int]:
    """The wanted concepts that enough training vendors draw."""
    vendors: dict[int, set[str]] = {}
    for drawing in drawings:
        if drawing.vendor != HELD_OUT_VENDOR and not drawing.tone:
            vendors.setdefault(drawing.concept, set()).add(drawing.vendor)
    return [n for n, concept in enumerate(concepts) if len(vendors.get(n, ())) >= min_vendors and wanted(concept)]


def _split(drawings: list[Drawing], concepts: list[Concept], used: list[int], tags: bool, size: int) -> Split:
    """Classes are those of all splits, so that every split numbers them alike."""
    classes = {
        "concept": [concepts[number].label for number in used],
        "subgroup": sorted({concepts[number].subgroup for number in used}),
        "group": sorted({concepts[number].group for number in used}),
        "vendor": list(VENDORS),
    }
    shown = [concepts[drawing.concept] for drawing in drawings]
    position = {number: place for place, number in enumerate(used)}
    return Split(
        classes=classes,
        labels={
            "concept": [position[drawing.concept] for drawing in drawings],
            "subgroup": [classes["subgroup"].index(concept.subgroup) for concept in shown],
            "group": [classes["group"].index(concept.group) for concept in shown],
            "vendor": [classes["vendor"].index(drawing.vendor) for drawing in drawings],
        },
        payloads=[(f"{drawing.vendor}/{drawing.name}", drawing.body, drawing.frame, size) for drawing in drawings],
        encode=render,
        channels=3,
        captions=[
            [", ".join((drawing.caption, *(concept.tags if tags else ())))]
            for drawing, concept in zip(drawings, shown, strict=True)
        ],
    )


@checked
def emoji(
    split: str,
    path: Path,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    groups: Annotated[list[EmojiGroup], "Unicode's groups to take; none named takes all"] = _ALL,
    subgroups: Annotated[list[str], "Unicode's subgroups to take; none named takes all"] = _ALL,
    min_vendors: Annotated[int, Range(ge=1, le=7), "a concept must be drawn by so many of the training vendors"] = 6,
    max_concepts: Annotated[int | None, Range(ge=2), "a seeded choice of so many concepts; null takes all"] = 500,
    skin_tones: Annotated[bool, "take the skin tones of a concept, too"] = True,
    caption: Annotated[
        Literal["label", "label-tags"], "Unicode's name, with or without its search words"
    ] = "label-tags",
) -> Split:
    """One split, ordered by concept, tone and vendor.

    Raises:
        ValueError: fewer than two concepts are left.
    """
    names = read_concepts(path)
    drawings = [drawing for vendor in VENDORS for drawing in _drawings(path, vendor, names)]
    found = _eligible(
        names.concepts,
        drawings,
        lambda c: (not groups or c.group in groups) and (not subgroups or c.subgroup in subgroups),
        min_vendors,
    )
    chosen = [found[place] for place in np.sort(permutation(len(found), seed=split_seed)[:max_concepts])]
    if len(chosen) < 2:
        raise ValueError("emoji: fewer than two concepts are left; relax groups, subgroups or min_vendors")
    train, test = split_concepts(chosen, _clusters(drawings), split_seed)
    kept = [
        drawing
        for drawing in drawings
        if drawing.concept in (test if split == "test-concepts" else train)
        and (drawing.vendor == HELD_OUT_VENDOR) == (split == "test-vendor")
        and (skin_tones or not drawing.tone)
    ]
    kept.sort(key=lambda drawing: (drawing.concept, drawing.tone, drawing.caption, drawing.vendor))
    return _split(kept, names.concepts, chosen, caption == "label-tags", image_size)
