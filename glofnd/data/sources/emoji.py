"""One concept, many hands: the emoji of eight vendors, and Unicode's names and groups for them.

Pictures come as SVG from Iconify's packages, labels from emojibase (Unicode CLDR).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glofnd.data.sources.npm import Package, fetch_package, unpack
from glofnd.files import atomic_open, read_json
from glofnd.progress import progress

__all__ = ["EMOJIBASE", "VENDORS", "fetch"]

VENDORS = {
    "noto": Package(
        "@iconify-json/noto",
        "1.2.9",
        "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    "noto-v1": Package(
        "@iconify-json/noto-v1",
        "1.2.5",
        "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
    ),
    "twemoji": Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    ),
    "openmoji": Package(
        "@iconify-json/openmoji",
        "1.2.29",
        "sha512-vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/Qwnq1OqksEmaDGTCmZ5nFKJQ==",
    ),
    "fluent-emoji-flat": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    ),
    "emojione": Package(
        "@iconify-json/emojione",
        "1.2.3",
        "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
    ),
    "emojione-v1": Package(
        "@iconify-json/emojione-v1",
        "1.2.3",
        "sha512-UjI2VQEXVtGlPBvQuxEizro7QCgBcJDOYwKUupquvvZ8UV4xOlvm45IU82JYWegiAWLerY79gFLMZ26U6Ms+ww==",
    ),
    "fxemoji": Package(
        "@iconify-json/fxemoji",
        "1.2.2",
        "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
    ),
}
EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
)

_ICONIFY_MEMBERS = {f"package/{name}": name for name in ("icons.json", "chars.json", "info.json")}
_EMOJIBASE_MEMBERS = {
    "package/en/data.json": "data.json",
    "package/meta/groups.json": "groups.json",
    "package/LICENSE": "LICENSE",
}


_ATTRIBUTION = """# Attribution

Pictures are rendered from these sets; each keeps its own licence.

{}
- Names, tags and groups: emojibase-data by Miles Johnson (MIT), from Unicode CLDR (Unicode licence).
"""


def _attribution(licences: dict[str, dict[str, str]]) -> str:
    line = "- **{title}** by {author} ({url}): {licence}, {terms}"
    return _ATTRIBUTION.format("\n".join(line.format(**stated) for stated in licences.values()))


def _licence(info: dict[str, Any]) -> dict[str, str]:
    author, licence = info["author"], info["license"]
    return {
        "title": info["name"],
        "author": author["name"],
        "url": author.get("url", ""),
        "licence": licence.get("spdx", licence["title"]),
        "terms": licence.get("url", ""),
    }


def fetch(out: Path) -> dict[str, Any]:
    """Leave `out/<vendor>/{icons,chars,info}.json` and `out/emojibase/{data,groups}.json`, with ATTRIBUTION.md."""
    files = ["ATTRIBUTION.md"]
    licences = {}
    packages = {**VENDORS, "emojibase": EMOJIBASE}
    for name, package in progress(packages.items(), len(packages), "fetching emoji", "packages"):
        members = _EMOJIBASE_MEMBERS if name == "emojibase" else _ICONIFY_MEMBERS
        unpack(fetch_package(package, out / "tarballs"), members, out / name)
        files += [f"tarballs/{package.tarball}", *(f"{name}/{file}" for file in members.values())]
        if name != "emojibase":
            licences[name] = _licence(read_json(out / name / "info.json"))
    with atomic_open(out / "ATTRIBUTION.md", "w") as handle:
        handle.write(_attribution(licences))
    return {
        "origin": "npm",
        "packages": {
            name: {"name": p.name, "version": p.version, "integrity": p.integrity} for name, p in packages.items()
        },
        "licences": {**licences, "emojibase": {"title": "emojibase-data", "licence": "MIT"}},
        "files": files,
    }
