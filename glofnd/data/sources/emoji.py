"""The emoji of eight vendors, and Unicode's names and groups for them.

Pictures come as SVG from Iconify's packages, labels from emojibase (Unicode CLDR).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glofnd.data.sources.npm import Package, fetch_packages
from glofnd.files import atomic_open, read_json

__all__ = ["EMOJIBASE", "VENDORS", "fetch"]


def _vendors() -> dict[str, Package]:
    members = {f"package/{file}": file for file in ("icons.json", "chars.json", "info.json")}
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split() for line in lines if not line.startswith("#"))
    return {name: Package(f"@iconify-json/{name}", version, integrity, members) for name, version, integrity in pins}


VENDORS = _vendors()
"""Vendor -> its package, from emoji.txt."""
EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    {"package/en/data.json": "data.json", "package/meta/groups.json": "groups.json", "package/LICENSE": "LICENSE"},
)


def _licence(info: dict[str, Any]) -> dict[str, str]:
    """An icon set's own statement, which is of its pictures; package.json is of the packing."""
    author, licence = info["author"], info["license"]
    named = f"{licence.get('spdx', licence['title'])}, {licence.get('url', '')}"
    return {"title": info["name"], "author": author["name"], "url": author.get("url", ""), "licence": named}


def fetch(out: Path) -> dict[str, Any]:
    """Leave `out/<vendor>/{icons,chars,info}.json` and `out/emojibase/{data,groups}.json`, with ATTRIBUTION.md."""
    stated = fetch_packages({**VENDORS, "emojibase": EMOJIBASE}, out)
    licences = {vendor: _licence(read_json(out / vendor / "info.json")) for vendor in VENDORS}
    licences["emojibase"] = {"title": "emojibase-data", "author": "Miles Johnson", "url": "", "licence": "MIT"}
    about = "Pictures are rendered from these sets; each keeps its own licence. emojibase's texts are Unicode CLDR's."
    lines = ["- **{title}** by {author} ({url}): {licence}".format(**licence) for licence in licences.values()]
    with atomic_open(out / "ATTRIBUTION.md", "w") as handle:
        handle.write("\n".join(["# Attribution", "", about, "", *lines, ""]))
    files = [*stated.pop("files"), "ATTRIBUTION.md"]
    return {**stated, "licences": licences, "files": files}
