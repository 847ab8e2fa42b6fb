"""Which Unicode emoji a vendor's icon shows.

Vendors with a table of code points are matched by it; the others by name: Unicode's own label, an alias, or a name that
a vendor with a table uses, each also without hyphens. A name that could mean two emoji is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glofnd.data.sources.emoji import VENDORS
from glofnd.files import read_json

__all__ = ["Concept", "Names", "Variant", "read_concepts", "slug"]

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
