"""Audit of what requirements/lock.txt installs: known vulnerabilities, licences, and whether it is installed as pinned.

    make audit

A finding that does not stand in requirements/audit-allowed.txt, with its reason, is an error (exit code 1). Advisories
come from a service on the network; where none answers, that is said, with its error, and the rest is audited.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path
from typing import Any

from packaging.markers import Marker

FOLDER = Path(__file__).resolve().parent
SERVICES = (["-s", "pypi"], ["-s", "osv"])
"""Where advisories are asked for, as options of pip-audit; the first that knows the packages is enough."""

_PIN = re.compile(r"^([\w.-]+)==(\S+)(?: ; ([^\\]+?))? \\$", re.MULTILINE)
_FREE = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|NCSA|LGPL|HPND|Zlib|CC0|Unlicense)\b", re.I
)
_MIT = "Permission is hereby granted, free of charge"
# Their conditions would reach this project, or are not known.
_BINDING = re.compile(r"\bA?GPL|Proprietary|Commercial|NonCommercial|-NC-", re.I)


@dataclass(frozen=True)
class Pin:
    """One entry of the lock."""

    name: str
    version: str
    marker: str | None

    @property
    def here(self) -> bool:
        """Whether it is meant for this machine."""
        return self.marker is None or Marker(self.marker).evaluate()


@dataclass(frozen=True)
class Finding:
    """Something wrong with a package: `what` is an advisory's id or `licence`."""

    what: str
    package: str
    text: str


def pins(lock: Path) -> list[Pin]:
    """What a lock holds."""
    return [Pin(name.lower(), version, marker or None) for name, version, marker in _PIN.findall(lock.read_text())]


def allowed(file: Path) -> dict[tuple[str, str], str]:
    """(advisory or `licence`, package) -> reason; a package may be a pattern.

    Raises:
        ValueError: an entry gives no reason.
    """
    found = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            entry, _, reason = line.partition("#")
            if len(entry.split()) != 2 or not reason.strip():
                raise ValueError(f"{file.name}:{number}: give advisory or `licence`, package, # and the reason")
            what, package = entry.split()
            found[what, package] = reason.strip()
    return found


def licence(package: Distribution) -> str:
    """What a package says of its licence: the expression, else its classifiers, else the beginning of the text."""
    # What is missing is None or a KeyError, depending on which packages are loaded; an empty list is one thing.
    said = {key: package.metadata.get_all(key) or [] for key in ("License-Expression", "Classifier", "License")}
    if said["License-Expression"]:
        return str(said["License-Expression"][0])
    classifiers = [text for text in said["Classifier"] if text.startswith("License :: ")]
    named = [text.rsplit(" :: ", 1)[-1] for text in classifiers if text.count(" :: ") > 1]
    if named:
        return ", ".join(named)
    files = [file for file in package.files or [] if re.match(r"LICEN[CS]E(\.\w+)?$|COPYING", file.name, re.IGNORECASE)]
    for text in (*said["License"], *map(_text, files)):
        if text and text != "UNKNOWN":
            return "MIT" if _MIT in text else text.strip().splitlines()[0]
    return "none stated"


def _text(file: PackagePath) -> str:
    return Path(file.locate()).read_text(encoding="utf-8", errors="replace")


def _spread(text: str) -> bool:
    return bool(_FREE.search(text)) and not _BINDING.search(text)


def installed(entries: list[Pin]) -> Iterator[Finding]:
    """What is installed otherwise than pinned, and licences that ask for a look."""
    for pin in (pin for pin in entries if pin.here):
        try:
            package = distribution(pin.name)
        except PackageNotFoundError:
            yield Finding("version", pin.name, f"{pin.version} is pinned, none is installed; make setup")
            continue
        if package.version != pin.version:
            yield Finding("version", pin.name, f"{pin.version} is pinned, {package.version} installed; make setup")
        text = licence(package)
        if not _spread(text):
            yield Finding("licence", pin.name, f"licence {text[:80]!r}")


def consistent(entries: list[Pin]) -> Iterator[Finding]:
    """What `pip check` says of packages of the lock."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    names = {pin.name for pin in entries}
    for line in done.stdout.splitlines():
        name = re.sub(r"[-_.]+", "-", line.split()[0].lower()) if line.strip() else ""
        if name in names:
            yield Finding("dependency", name, line)


def _asked(entries: list[Pin], service: list[str]) -> tuple[list[dict[str, Any]], str]:
    """What a service knows of these pins, and the error where it gives no answer."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in entries))
        command = [sys.executable, "-m", "pip_audit", "-r", str(file), "--no-deps", "--disable-pip", "-f", "json"]
        command += ["--progress-spinner", "off", "--timeout", "20", *service]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        return answer, ""
    except (json.JSONDecodeError, KeyError):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return [], lines[-1] if lines else f"pip-audit ended with {done.returncode}"


def advisories(entries: list[Pin], service: list[str]) -> tuple[list[Finding], str]:
    """Known vulnerabilities, and why a service could not say.

    pip-audit takes a package that a service does not know for one without findings, so a service is first asked about
    one that is known to be there: a mirror of PyPI may serve packages and no advisories.
    """
    answer, error = _asked(entries[:1], service)
    if error or any("skip_reason" in entry for entry in answer):
        return [], error or answer[0]["skip_reason"]
    # One name may be pinned twice, for two kinds of machines; pip-audit takes each once.
    first = list({pin.name: pin for pin in reversed(entries)}.values())
    found = []
    for part in (first, [pin for pin in entries if pin not in first]):
        if not part:
            continue
        answer, error = _asked(part, service)
        if error:
            return [], error
        for entry in answer:
            if "skip_reason" in entry:
                print(f"advisories: not audited: {entry['skip_reason']}")
            for known in entry.get("vulns", []):
                fixed = ", ".join(known.get("fix_versions", [])) or "no version"
                text = f"{entry['version']}: {' '.join(known.get('description', '').split())[:100]} (fixed in {fixed})"
                found.append(Finding(known["id"], entry["name"].lower(), text))
    return found, ""


def _reason(finding: Finding, exceptions: dict[tuple[str, str], str]) -> str | None:
    matching = (
        reason
        for (what, package), reason in exceptions.items()
        if what == finding.what and fnmatch(finding.package, package)
    )
    return next(matching, None)


def main() -> int:
    """Audit the lock beside this file; the exit code."""
    entries, exceptions = pins(FOLDER / "lock.txt"), allowed(FOLDER / "audit-allowed.txt")
    found = [*installed(entries), *consistent(entries)]
    print(f"lock: {len(entries)} pins, {sum(pin.here for pin in entries)} of them for this machine")
    # An own service, or a mirror's, that speaks OSV.
    own = os.environ.get("AUDIT_OSV_URL")
    for service in [["-s", "osv", "--osv-url", own]] if own else SERVICES:
        known, error = advisories(entries, service)
        if not error:
            print(f"advisories: {len(known)} for what is pinned (pip-audit {' '.join(service)})")
            found += known
            break
        print(f"advisories: NOT AUDITED by {service[1]}: {error}")
    else:
        print("advisories: no service answers here; run `make audit` where one does")
    wrong = []
    for finding in found:
        reason = _reason(finding, exceptions)
        line = f"{finding.package}: {finding.what}: {finding.text}"
        print(f"allowed: {line} ({reason})" if reason else f"error: {line}")
        wrong += [] if reason else [finding]
    if wrong:
        print(f"{len(wrong)} findings; mend them, or enter them with a reason in requirements/audit-allowed.txt")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
