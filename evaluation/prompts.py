"""Class prompts: templates filled with class names, one text file of templates per kind of picture."""

from __future__ import annotations

import difflib
from pathlib import Path

__all__ = ["PromptError", "fill", "read_templates", "template_names"]

_FOLDER = Path(__file__).parent / "templates"


class PromptError(ValueError):
    """Templates that do not exist or cannot be filled."""


def template_names() -> list[str]:
    """Names of all template files."""
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def read_templates(name: str) -> list[str]:
    """Templates of one file: one a line, `{}` where the class name goes, `#` starts a comment line.

    Raises:
        PromptError: no such file, or a template without exactly one `{}`.
    """
    path = _FOLDER / f"{name}.txt"
    if name not in template_names():
        near = difflib.get_close_matches(name, template_names(), 1) or template_names()
        raise PromptError(f"templates: there is no {name!r}; choose from {', '.join(near)}")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    templates = [line for line in lines if line and not line.startswith("#")]
    for template in templates:
        if template.count("{}") != 1:
            raise PromptError(f"{path.name}: {template!r} must have exactly one {{}}")
    if not templates:
        raise PromptError(f"{path.name}: has no template")
    return templates


def fill(templates: list[str], name: str) -> list[str]:
    """All prompts of one class; underscores in its name become spaces."""
    return [template.replace("{}", name.replace("_", " ")) for template in templates]
