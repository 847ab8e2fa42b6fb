"""How this machine reaches its package registries, as mounts for an image build.

    python host_settings.py FOLDER      writes pip.conf and apt.conf there, prints arguments for `podman build`

Indexes, wheel folders and certificates are those of this machine's own pip and apt; they are mounted while the image is
built and are not part of it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

CERTIFICATES = "/run/host-certificates.crt"
# Where to look, and how patiently; what else a machine's pip is told to do must not change the image.
FROM_PIP = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "default-timeout", "retries")
FROM_APT = re.compile(r"Acquire::(?:Check-|Retries|https?::)\S* .*;")


def pip_settings(listing: str) -> dict[str, str]:
    """Settings out of `pip config list`; those of the environment win."""
    found = {}
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in FROM_PIP:
            found[key] = " ".join(str(ast.literal_eval(value)).split())
    return found


def local_folders(settings: dict[str, str]) -> Iterator[Path]:
    """Folders on this machine that pip reads wheels from; beside an index of pages stand the files it names."""
    for key in ("index-url", "extra-index-url", "find-links"):
        for place in settings.get(key, "").split():
            url = urlsplit(place)
            if url.scheme in ("", "file"):
                path = Path(unquote(url.path))
                yield path.parent if key.endswith("index-url") else path


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main(folder: Path) -> None:
    """Write the settings and print one argument a line."""
    settings = pip_settings(output(sys.executable, "-m", "pip", "config", "list"))
    mounts = {path: str(path) for path in local_folders(settings) if path.exists()}
    if certificates := settings.pop("cert", None):
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
