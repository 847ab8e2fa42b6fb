"""Which folders of a benchmark rules cannot see from inside a container."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snakemake.settings.types import DeploymentMethod

__all__ = ["unseen", "warn_of_unseen"]

_VARIABLES = ("APPTAINER_BIND", "APPTAINER_BINDPATH", "SINGULARITY_BIND", "SINGULARITY_BINDPATH")
_ALWAYS = ("/tmp", "/var/tmp")


def _named(arguments: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Every `source[:target[:options]]` of the command line and the environment."""
    words = iter(shlex.split(os.path.expandvars(arguments)))
    for word in words:
        option, equals, value = word.partition("=")
        if option in ("--bind", "-B"):
            yield from (value if equals else next(words, "")).split(",")
    for name in _VARIABLES:
        yield from environment.get(name, "").split(",")


def unseen(
    folders: Mapping[str, str], directory: Path, arguments: str, environment: Mapping[str, str]
) -> dict[str, Path]:
    """Folders, by their names, that are neither below the working directory nor bound into the container.

    Args:
        folders: name -> path, absolute or relative to `directory`.
        directory: where Snakemake runs; it is always bound.
        arguments: what Snakemake hands on to Apptainer.
        environment: variables Apptainer reads.
    """
    targets = [entry.split(":")[1] if ":" in entry else entry for entry in _named(arguments, environment) if entry]
    seen = [directory.resolve(), *map(Path, _ALWAYS), *(Path(target) for target in targets)]
    found = {name: (directory / folder).resolve() for name, folder in folders.items()}
    return {name: path for name, path in found.items() if not any(path.is_relative_to(place) for place in seen)}


def warn_of_unseen(workflow: Any, paths: Mapping[str, str]) -> None:
    """Say on stderr what has to be bound, where rules run in containers; a cluster may bind more by itself."""
    settings = workflow.deployment_settings
    if DeploymentMethod.APPTAINER not in settings.deployment_method:
        return
    folders = {"this repository": workflow.basedir, **{f"paths.{name}": path for name, path in paths.items()}}
    missing = unseen(folders, Path.cwd(), settings.apptainer_args or "", os.environ)
    if missing:
        listing = "".join(f"  {name}: {path}\n" for name, path in missing.items())
        places = ",".join(sorted({str(path) for path in missing.values()}))
        print(
            f"warning: outside of the working directory, so a container may not see it:\n{listing}"
            f"if jobs do not find it: export APPTAINER_BIND={places}",
            file=sys.stderr,
        )
