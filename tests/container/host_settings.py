"""How this machine reaches its package registries, as mounts for an image build; they are no part of the image.

python host_settings.py FOLDER      writes pip.conf and apt.conf there, prints arguments for `podman build`
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

CERTIFICATES = "/run/host-certificates.crt"
# Where to look, and how patiently; what else a machine's pip is told to do must not change the image.
FROM_PIP = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "default-timeout", "retries")
FROM_APT = re.compile(r"Acquire::(?:Check-|Retries|https?::)\S* .*;")


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main(folder: Path) -> None:
    """Write the settings and print one argument a line."""
    settings: dict[str, str] = {}
    listing = output(sys.executable, "-m", "pip", "config", "list").splitlines()
    for line in sorted(listing, key=lambda line: line.startswith(":env:")):  # the environment wins
        name, _, value = line.partition("=")
        if (key := name.rpartition(".")[2]) in FROM_PIP:
            settings[key] = " ".join(str(ast.literal_eval(value)).split())
    mounts: dict[Path, str] = {}
    for key in FROM_PIP[:3]:
        for url in map(urlsplit, settings.get(key, "").split()):
            place = Path(unquote(url.path))
            if url.scheme in ("", "file") and place.exists():
                # Beside an index of pages stand the files that it names.
                place = place.parent if key.endswith("index-url") else place
                mounts[place] = str(place)
    if certificates := settings.get("cert"):
        mounts[Path(certificates)] = settings["cert"] = CERTIFICATES
    pip = ["[global]", *(f"{key} = {value}" for key, value in settings.items())]
    apt = FROM_APT.findall(output("apt-config", "dump", "Acquire"))
    for name, lines, target in (("pip.conf", pip, "/etc/pip.conf"), ("apt.conf", apt, "/etc/apt/apt.conf.d/host")):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
        mounts[folder / name] = target
    for source, target in mounts.items():
        print(f"--volume\n{source}:{target}:ro")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
