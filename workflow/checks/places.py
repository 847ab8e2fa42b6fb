"""Checks of where things are: folders, the tracking store, the image."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from workflow.credentials import ADVICE, has_secret
from workflow.schema import nearest
from workflow.values import shown

__all__ = ["container", "prefix", "problem_of_folder", "store", "unusable", "where"]

Config = dict[str, Any]

_STORES = ("http", "https", "postgresql", "sqlite", "databricks")
_IMAGES = ("docker", "docker-daemon", "library", "oras", "shub", "http", "https", "file")
# Folders that the results folder has for itself; shards or sources in them could be taken for something else.
_OWN = ("runs", "trunks", "logs", "benchmarks", "mlflow-artifacts")


def _spelling(text: str) -> str | None:
    """What keeps Snakemake or a shell from using a path, as the end of a message."""
    if "{" in text or "}" in text:
        return "braces are wildcards to Snakemake; choose a name without them"
    if text != text.strip() or "\n" in text:
        return "begins or ends with a blank or has a line break; choose another name"
    if text.startswith("~"):
        return "there is no such user whose home folder it could be"
    if text in (".", "/") or ".." in PurePosixPath(text).parts[-1:]:
        return "name a folder below it"
    if any(len(part.encode()) > 200 for part in PurePosixPath(text).parts):
        return "a folder's name can have at most 200 bytes"
    return None


def where(config: Config) -> Iterator[str]:
    """Every folder can be named in a rule, and none is, or lies inside, what another one needs for itself."""
    paths: dict[str, str] = config["paths"]
    for key, value in paths.items():
        if problem := _spelling(value):
            yield f"paths.{key}: {shown(value)}: {problem}"
    if any(character in paths["results"] for character in "?#%"):
        yield f"paths.results: {shown(paths['results'])}: ? # and % mean something in the address of MLflow's database"
    places = {key: Path(value).absolute() for key, value in paths.items()}
    for one, other in combinations(places, 2):
        if places[one] == places[other]:
            yield f"paths.{other}: {shown(paths[other])} is also paths.{one}; each needs a folder of its own"
    if places["shards"] in places["results"].parents:
        yield "paths.results: lies inside paths.shards, whose folders are data sets; choose another place"
    for key in ("raw", "shards"):
        taken = next((name for name in _OWN if places[key].is_relative_to(places["results"] / name)), None)
        if taken:
            yield f"paths.{key}: lies inside {taken}/ of paths.results, which is full of results; choose another place"


def problem_of_folder(text: str) -> str | None:
    """Why a folder can neither be there nor be made, as the end of a message."""
    path = Path(text)
    for place in (path, *path.parents):
        try:
            if place.is_dir():
                return None
            if place.exists() or place.is_symlink():
                return f"{'it' if place == path else place} is a file, not a folder"
        except (OSError, ValueError) as error:
            return f"{getattr(error, 'strerror', None) or error}"
    return None


def unusable(config: Config) -> Iterator[str]:
    """Folders that cannot be made, since a file stands in their way."""
    for key, value in config["paths"].items():
        if problem := problem_of_folder(value):
            yield f"paths.{key}: {shown(value)}: {problem}"


def store(config: Config) -> Iterator[str]:
    """MLflow's tracking address: a server, a database, or null."""
    uri = config["mlflow"]["tracking_uri"]
    if uri is None or uri == "databricks":
        return
    key, choices = "mlflow.tracking_uri", "null, http://HOST:PORT, https://..., postgresql://..., sqlite:///FILE"
    if has_secret(uri):
        yield f"{key}: there is a password in it, which is not repeated here; {ADVICE}"
        return
    if uri != uri.strip() or any(character.isspace() for character in uri):
        yield f"{key}: {shown(uri)} has blanks in it; it is one address"
        return
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        yield f"{key}: {shown(uri)} is no address ({error}); choose one of {choices}"
        return
    scheme = parts.scheme.partition("+")[0]
    if "://" not in uri or not scheme:
        yield f"{key}: {shown(uri)} names no kind of store (MLflow 3 takes no plain folder); choose one of {choices}"
    elif scheme not in _STORES:
        yield f"{key}: {shown(scheme)} is no kind of store; {nearest(scheme, _STORES)}"
    elif scheme == "sqlite":
        if not uri.startswith("sqlite:///") or len(uri) == len("sqlite:///"):
            yield f"{key}: {shown(uri)} names no file; SQLite's form is sqlite:///FILE"
    elif not host:
        yield f"{key}: {shown(uri)} names no host; choose one of {choices}"


def prefix(config: Config) -> Iterator[str]:
    """The prefix of MLflow experiments is also a folder of artifacts."""
    text = config["mlflow"]["prefix"]
    parts = text.split("/")
    if (
        text != text.lstrip()
        or "\n" in text
        or any(part in ("", ".", "..") for part in parts[:-1])
        or parts[-1] == ".."
    ):
        yield f"mlflow.prefix: {shown(text)} cannot stand before a name; take words, with single / between them"


def container(config: Config) -> Iterator[str]:
    """The image as Snakemake names it: a local file, or an address."""
    text = config["container"]
    if text is None:
        return
    if any(character.isspace() or character in "{}" for character in text):
        yield f"container: {shown(text)} has blanks or braces, which Snakemake takes for something else"
    elif text.startswith("~"):
        yield f"container: {shown(text)}: write the home folder out"
    elif "://" in text and text.partition("://")[0] not in _IMAGES:
        scheme = text.partition("://")[0]
        yield f"container: {shown(scheme)} is no source of images; {nearest(scheme, _IMAGES)}"
