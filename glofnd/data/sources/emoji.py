"""The emoji of eight vendors, and Unicode's names and groups for them.

Pictures come as SVG from Iconify's packages, labels from emojibase (Unicode CLDR).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glofnd.data.sources.npm import Package, fetch_packages, write_attribution
from glofnd.files import read_json

__all__ = ["EMOJIBASE", "VENDORS", "fetch"]


def _vendor(name: str, version: str, integrity: str) -> Package:
    members = {f"package/{file}": file for file in ("icons.json", "chars.json", "info.json")}
    return Package(f"@iconify-json/{name}", version, integrity, members)


VENDORS = {
    package.name.rpartition("/")[2]: package
    for package in (
        _vendor(
            "noto",
            "1.2.9",
            "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        ),
        _vendor(
            "noto-v1",
            "1.2.5",
            "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
        ),
        _vendor(
            "twemoji",
            "1.2.5",
            "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        ),
        _vendor(
            "openmoji",
            "1.2.29",
            "sha512-vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/Qwnq1OqksEmaDGTCmZ5nFKJQ==",
        ),
        _vendor(
            "fluent-emoji-flat",
            "1.2.6",
            "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        ),
        _vendor(
            "emojione",
            "1.2.3",
            "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
        ),
        _vendor(
            "emojione-v1",
            "1.2.3",
            "sha512-UjI2VQEXVtGlPBvQuxEizro7QCgBcJDOYwKUupquvvZ8UV4xOlvm45IU82JYWegiAWLerY79gFLMZ26U6Ms+ww==",
        ),
        _vendor(
            "fxemoji",
            "1.2.2",
            "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
        ),
    )
}
EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    {
        "package/en/data.json": "data.json",
        "package/meta/groups.json": "groups.json",
        "package/LICENSE": "LICENSE",
    },
)


def _licence(info: dict[str, Any]) -> dict[str, str]:
    """An icon set's own statement, which is of its pictures; package.json is of the packing."""
    author, licence = info["author"], info["license"]
    named = f"{licence.get('spdx', licence['title'])}, {licence.get('url', '')}"
    return {"title": info["name"], "author": author["name"], "url": author.get("url", ""), "licence": named}


def fetch(out: Path) -> dict[str, Any]:
    """Leave `out/<vendor>/{icons,chars,info}.json` and `out/emojibase/{data,groups}.json`, with ATTRIBUTION.md."""
    stated = fetch_packages({**VENDORS, "emojibase": EMOJIBASE}, out)
    stated["licences"] |= {vendor: _licence(read_json(out / vendor / "info.json")) for vendor in VENDORS}
    about = "Pictures are rendered from these sets; each keeps its own licence. emojibase's texts are Unicode CLDR's."
    write_attribution(out / "ATTRIBUTION.md", about, stated["licences"])
    stated["files"].append("ATTRIBUTION.md")
    return stated
