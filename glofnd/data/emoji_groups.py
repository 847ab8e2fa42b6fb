"""Groups and subgroups of emoji, as Unicode's emoji-test.txt and emojibase name them."""

from __future__ import annotations

from typing import Literal

__all__ = ["GROUPS", "EmojiGroup"]

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

_SUBGROUPS = {
    "activities": "arts-crafts award-medal event game sport",
    "animals-nature": (
        "animal-amphibian animal-bird animal-bug animal-mammal animal-marine animal-reptile plant-flower plant-other"
    ),
    "flags": "country-flag flag subdivision-flag",
    "food-drink": "dishware drink food-asian food-fruit food-prepared food-sweet food-vegetable",
    "objects": (
        "book-paper clothing computer household light-video lock mail medical money music "
        "musical-instrument office other-object phone science sound tool writing"
    ),
    "people-body": (
        "body-parts family hand-fingers-closed hand-fingers-open hand-fingers-partial hand-prop "
        "hand-single-finger hands person person-activity person-fantasy person-gesture person-resting "
        "person-role person-sport person-symbol"
    ),
    "smileys-emotion": (
        "cat-face emotion face-affection face-concerned face-costume face-glasses face-hand face-hat "
        "face-negative face-neutral-skeptical face-sleepy face-smiling face-tongue face-unwell heart "
        "monkey-face"
    ),
    "symbols": (
        "alphanum arrow av-symbol currency gender geometric keycap math other-symbol punctuation "
        "religion transport-sign warning zodiac"
    ),
    "travel-places": (
        "hotel place-building place-geographic place-map place-other place-religious sky-weather time "
        "transport-air transport-ground transport-water"
    ),
}
GROUPS: dict[str, list[str]] = {group: subgroups.split() for group, subgroups in _SUBGROUPS.items()}
"""Group -> its subgroups; the parts that emoji are composed of (`component`) are no pictures of their own."""
