"""Emoji of eight vendors: one concept drawn by many hands.

Two drawings of one concept are a false negative by construction, whoever drew them. Concepts, not pictures, are divided
into splits; concepts that some vendor draws identically (a "person" that is its "man") stay on one side.

    train          80 % of the concepts, seven vendors
    test-concepts  the other 20 %, the same vendors
    test-vendor    the concepts of train, drawn by the vendor held out

Which emoji an icon shows: vendors with a table of code points are matched by it; the others by name: Unicode's own
label, an alias, or a name that a vendor with a table uses, each also without hyphens. A name that could mean two emoji
is left out.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image

from glofnd.counter_random import permutation
from glofnd.data.dataset_options import SmallOptions, SplitSeed
from glofnd.data.picture_files import encoded
from glofnd.data.sources.npm import VENDORS
from glofnd.data.split import Split
from glofnd.files import read_json
from glofnd.parameters import Range

__all__ = ["HELD_OUT_VENDOR", "Emoji", "read_concepts", "render"]

EmojiGroup = Literal[
    "activities",
    "animals-nature",
    "flags",
    "food-drink",
    "objects",
    "people-body",
    "smileys-emotion",
    "symbols",
    "travel-places",
]
"""As Unicode's emoji-test.txt and emojibase name them; what emoji are composed of is no picture of its own."""

# Iconify's names and defaults for an icon's view box.
_FRAME = (("left", 0), ("top", 0), ("width", 16), ("height", 16))
HELD_OUT_VENDOR = "fluent-emoji-flat"
TEST_SHARE = 0.2
_ALL: Any = ()
_SPOKEN = {"&": " and ", "#": "hash", "*": "asterisk", "'": "", "\N{RIGHT SINGLE QUOTATION MARK}": ""}


@dataclass(frozen=True)
class Concept:
    """One emoji, all its skin tones together."""

    label: str
    tags: tuple[str, ...]
    group: str
    subgroup: str


@dataclass(frozen=True)
class Variant:
    """A concept itself (`tone` false) or one skin tone of it; `concept` is its position among the concepts."""

    concept: int
    label: str
    tone: bool


def slug(text: str) -> str:
    """A label as icon sets write it: lower case ASCII words joined by hyphens."""
    for sign, spoken in _SPOKEN.items():
        text = text.replace(sign, spoken)
    plain = unicodedata.normalize("NFKD", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", "".join(c for c in plain if not unicodedata.combining(c))).strip("-")


def _code(hexcode: str) -> str:
    """A code point sequence without the selectors that only choose text or picture style."""
    return "-".join(part for part in hexcode.upper().split("-") if part not in {"FE0E", "FE0F"})


@dataclass
class Names:
    """Every concept, the variants by their code, and the names they go by."""

    concepts: list[Concept] = field(default_factory=list)
    variants: dict[str, Variant] = field(default_factory=dict)
    _by_name: dict[str, set[str]] = field(default_factory=dict)

    def learn(self, name: str, hexcode: str) -> None:
        """Note that icon sets call this emoji `name`."""
        if (code := _code(hexcode)) in self.variants:
            for form in {name, name.replace("-", "")}:
                self._by_name.setdefault(form, set()).add(code)

    def _named(self, name: str) -> set[str]:
        flag = re.sub(r"^flag-for-(flag-)?", "flag-", name)
        forms = (self._by_name.get(form) for form in (name, flag, name.replace("-", "")))
        return next((codes for codes in forms if codes), set())

    def match(self, icons: dict[str, Any], chars: dict[str, str]) -> Iterator[tuple[str, dict[str, Any], Variant]]:
        """(name, icon, what it shows) for each icon of an Iconify set that shows exactly one known emoji.

        Each emoji is given once, to the first icon that claims it.
        """
        codes: dict[str, set[str]] = {}
        for hexcode, name in chars.items():
            if (code := _code(hexcode)) in self.variants:
                codes.setdefault(name, set()).add(code)
        aliases: dict[str, list[str]] = {}
        for name, alias in icons.get("aliases", {}).items():
            if alias.keys() == {"parent"}:  # others are turned or mirrored
                aliases.setdefault(alias["parent"], []).append(name)
        taken: set[str] = set()
        for name, icon in icons["icons"].items():
            if icon.get("hidden"):
                continue
            candidates = (codes.get(name), *(self._named(form) for form in (name, *aliases.get(name, []))))
            found = next((candidate for candidate in candidates if candidate), set())
            if len(found) == 1 and not found & taken:
                taken |= found
                yield name, icon, self.variants[next(iter(found))]


def read_concepts(raw: Path) -> Names:
    """Every emoji but the components (bare skin tones and hair), from emojibase, with the vendors' names for them."""
    tables, names = read_json(raw / "emojibase" / "groups.json"), Names()
    for entry in read_json(raw / "emojibase" / "data.json"):
        group = tables["groups"].get(str(entry.get("group")))
        if group in {None, "component"}:
            continue
        for variant in (entry, *entry.get("skins", ())):
            code, tone = _code(variant["hexcode"]), variant is not entry
            names.variants[code] = Variant(len(names.concepts), variant["label"], tone)
            names.learn(slug(variant["label"]), code)
        subgroup = tables["subgroups"][str(entry["subgroup"])]
        names.concepts.append(Concept(entry["label"], tuple(entry.get("tags", ())), group, subgroup))
    for vendor in VENDORS:
        for hexcode, name in read_json(raw / vendor / "chars.json").items():
            names.learn(name, hexcode)
    return names


@dataclass(frozen=True)
class Drawing:
    """One vendor's picture of an emoji. `body` is SVG; `frame` is left, top, width, height."""

    vendor: str
    name: str
    shows: Variant
    body: str
    frame: tuple[float, ...]


def render(payload: tuple[str, str, tuple[float, ...], int]) -> bytes:
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


def _drawings(raw: Path, names: Names) -> Iterator[Drawing]:
    for vendor in VENDORS:
        icons = read_json(raw / vendor / "icons.json")
        for name, icon, variant in names.match(icons, read_json(raw / vendor / "chars.json")):
            frame = tuple(icon.get(side, icons.get(side, default)) for side, default in _FRAME)
            yield Drawing(vendor, name, variant, icon["body"], frame)


def _clusters(drawings: Iterable[Drawing]) -> dict[int, int]:
    """Concept -> smallest concept it is tied to by pictures that one vendor draws identically (union-find)."""
    parent: dict[int, int] = {}

    def root(concept: int) -> int:
        while parent.setdefault(concept, concept) != concept:
            concept = parent[concept]
        return concept

    first: dict[tuple[str, str], int] = {}
    for drawing in drawings:
        concept = drawing.shows.concept
        one, other = root(first.setdefault((drawing.vendor, drawing.body), concept)), root(concept)
        parent[max(one, other)] = min(one, other)
    return {concept: root(concept) for concept in parent}


def _divided(concepts: list[int], clusters: dict[int, int], seed: int) -> tuple[set[int], set[int]]:
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


@dataclass(frozen=True)
class Emoji(SmallOptions):
    """Splits ordered by concept, tone and vendor."""

    split_seed: SplitSeed = 0
    groups: Annotated[list[EmojiGroup], "Unicode's groups to take; none named takes all"] = _ALL
    subgroups: Annotated[list[str], "Unicode's subgroups to take; none named takes all"] = _ALL
    min_vendors: Annotated[int, Range(ge=1, le=7), "a concept must be drawn by so many of the training vendors"] = 6
    max_concepts: Annotated[int | None, Range(ge=2), "a seeded choice of so many concepts; null takes all"] = 500
    skin_tones: Annotated[bool, "take the skin tones of a concept, too"] = True
    caption: Annotated[Literal["label", "label-tags"], "Unicode's name, with or without its search words"] = (
        "label-tags"
    )

    def _eligible(self, concepts: list[Concept], drawings: list[Drawing]) -> list[int]:
        """The wanted concepts that enough training vendors draw.

        Raises:
            ValueError: there is no such subgroup.
        """
        there = {concept.subgroup for concept in concepts if not self.groups or concept.group in self.groups}
        if unknown := [name for name in self.subgroups if name not in there]:
            raise ValueError(f"emoji: subgroups: {unknown[0]!r} is none of {', '.join(sorted(there))}")
        wanted = set(self.subgroups or there)
        drawn = {(d.shows.concept, d.vendor) for d in drawings if d.vendor != HELD_OUT_VENDOR and not d.shows.tone}
        vendors = np.bincount([concept for concept, _ in drawn], minlength=len(concepts))
        return [
            number
            for number, concept in enumerate(concepts)
            if vendors[number] >= self.min_vendors
            and concept.subgroup in wanted
            and (not self.groups or concept.group in self.groups)
        ]

    def _split(self, name: str) -> Split:
        names = read_concepts(self.path)
        drawings = list(_drawings(self.path, names))
        found = self._eligible(names.concepts, drawings)
        used = [found[place] for place in np.sort(permutation(len(found), seed=self.split_seed)[: self.max_concepts])]
        if len(used) < 2:
            raise ValueError("emoji: fewer than two concepts are left; relax groups, subgroups or min_vendors")
        train, test = _divided(used, _clusters(drawings), self.split_seed)
        kept = [
            drawing
            for drawing in drawings
            if drawing.shows.concept in (test if name == "test-concepts" else train)
            and (drawing.vendor == HELD_OUT_VENDOR) == (name == "test-vendor")
            and (self.skin_tones or not drawing.shows.tone)
        ]
        kept.sort(key=lambda d: (d.shows.concept, d.shows.tone, d.shows.label, d.vendor))
        shown = [names.concepts[drawing.shows.concept] for drawing in kept]
        # Those of all splits, so that every split numbers them alike.
        classes = {
            "concept": [names.concepts[number].label for number in used],
            "subgroup": sorted({names.concepts[number].subgroup for number in used}),
            "group": sorted({names.concepts[number].group for number in used}),
            "vendor": list(VENDORS),
        }
        position = {number: place for place, number in enumerate(used)}
        tags = self.caption == "label-tags"
        return Split(
            classes=classes,
            labels={
                "concept": [position[drawing.shows.concept] for drawing in kept],
                "subgroup": [classes["subgroup"].index(concept.subgroup) for concept in shown],
                "group": [classes["group"].index(concept.group) for concept in shown],
                "vendor": [classes["vendor"].index(drawing.vendor) for drawing in kept],
            },
            payloads=[(f"{d.vendor}/{d.name}", d.body, d.frame, self.image_size) for d in kept],
            encode=render,
            channels=3,
            captions=[
                [", ".join((drawing.shows.label, *(concept.tags if tags else ())))]
                for drawing, concept in zip(kept, shown, strict=True)
            ],
        )
