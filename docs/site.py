"""What mkdocs makes of this repository besides docs/*.md: README and other pages that lie elsewhere, and references.

Everything is made here at each build: the API reference from docstrings and declared options, the config reference from
what the config check reads.
"""

from __future__ import annotations

import os
import re
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from glofnd.parameters import parameters
from workflow.config import options_as_markdown, table

ROOT = Path(__file__).parent.parent

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "containers/README.md": "containers.md",
}
"""File of the repository -> page."""

MODULES = {
    "glofnd.detectors": "Detectors",
    "glofnd.objectives": "Objectives",
    "glofnd.views": "Views",
    "glofnd.encoders": "Encoders",
    "glofnd.data": "Data",
    "glofnd.data.stream": "Streams of batches",
    "glofnd.pretraining": "Pretraining",
    "glofnd.pretraining.options": "Options of training",
    "glofnd.checkpoint": "Checkpoints",
    "glofnd.export": "Export",
    "glofnd.parameters": "Declared parameters",
    "evaluation": "Evaluation",
    "evaluation.results": "Results of an evaluation",
}
"""The API reference: module -> title."""


def _reference(module: str, title: str) -> str:
    """A page with every public name of a module; declared options as a table below the docstring."""
    found = import_module(module)
    lines = [f"# {title}", "", f"`{module}`", "", (found.__doc__ or "").replace("\n    ", "\n\n    ", 1), ""]
    for name in found.__all__:
        target: Any = getattr(found, name)
        options = parameters(target) if callable(target) else {}
        # Fields of a dataclass are all that it has, and stand in the table.
        bare = ["    options: {members: false, show_signature: false}"] if options and is_dataclass(target) else []
        lines += [f"::: {module}.{name}", *bare, ""]
        lines += [*table(options), ""] if options else []
    return "\n".join(lines)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not below docs/."""
    made = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in PAGES.items()}
    made |= {f"reference/{module}.md": _reference(module, title) for module, title in MODULES.items()}
    made["reference/config.md"] = options_as_markdown()
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository as links of the site; a file that is no page becomes part of it."""
    own = page.file.src_uri
    source = PurePosixPath({page: source for source, page in PAGES.items()}.get(own, f"docs/{own}"))

    def link(match: re.Match[str]) -> str:
        path, _, anchor = match[2].partition("#")
        target = os.path.normpath(source.parent / path)
        if (ROOT / target).is_dir():
            return match[1]
        place = PAGES.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(place) is None and (ROOT / target).is_file():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / target)))
        relative = os.path.relpath(place, PurePosixPath(own).parent)
        return f"[{match[1]}]({relative}{'#' * bool(anchor)}{anchor})"

    return re.sub(r"\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)", link, markdown)
