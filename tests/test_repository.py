"""Rules of the repository that no linter knows: who imports whom, what the lock and requirements name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("glofnd", "evaluation", "workflow")


def tracked(*patterns: str) -> list[Path]:
    done = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Full dotted names of everything a module imports, at whatever depth of its code."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


WORKFLOW_ONLY = ("workflow", "mlflow", "snakemake")
FORBIDDEN = {
    "glofnd": ("evaluation", *WORKFLOW_ONLY),
    "evaluation": WORKFLOW_ONLY,
    "glofnd/detectors": ("glofnd.objectives", "glofnd.pretraining", "glofnd.encoders", "glofnd.data"),
    "glofnd/objectives": ("glofnd.pretraining", "glofnd.encoders", "glofnd.data"),
    "glofnd/encoders": ("glofnd.pretraining", "glofnd.objectives", "glofnd.detectors"),
    "glofnd/data": ("glofnd.pretraining", "glofnd.objectives", "glofnd.detectors", "glofnd.encoders"),
}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_go_one_way(room: str) -> None:
    assert [
        f"{relative(path)} imports {name}"
        for path in tracked(f"{room}/*.py")
        for name in imports(path)
        if any(name == module or name.startswith(f"{module}.") for module in FORBIDDEN[room])
    ] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    machine = re.compile(r"(?<![.\w])/(?:work|tmp|root|opt)/\w+|(?<![.\w])/home/(?!glofnd\b)\w+")
    texts = {path: path.read_bytes().decode(errors="replace") for path in tracked() if "tests/" not in relative(path)}
    assert [f"{relative(path)}: {match[0]}" for path, text in texts.items() for match in machine.finditer(text)] == []


def test_nothing_is_unpickled() -> None:
    """Ruff's rules for the rest of what runs data as a program do not know these two."""
    unsafe = re.compile(r"allow_pickle=True|weights_only=False")
    texts = {relative(path): path.read_text("utf-8") for room in (*PACKAGES, "benchmarks") for path in tracked(room)}
    assert [name for name, text in texts.items() if unsafe.search(text)] == []


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(file: str) -> set[str]:
    """Distributions a requirements file names."""
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    return {canonical(match[0]) for line in lines if (match := re.match(r"[A-Za-z0-9][\w.-]*", line))}


def of_library() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {canonical(re.split(r"[^\w.-]", line)[0]) for line in lines}


NAMED_FOR = {
    "library": (("glofnd",), of_library),
    "benchmark": (PACKAGES, lambda: named("runtime.in")),
    "tests": (("tests",), lambda: named("runtime.in") | named("dev.in")),
}


@pytest.mark.parametrize("purpose", NAMED_FOR)
def test_every_import_is_a_named_requirement(purpose: str) -> None:
    """What happens to be installed because something else needs it can go away with the next lock."""
    rooms, requirements_of = NAMED_FOR[purpose]
    requirements, provided, missing = requirements_of(), packages_distributions(), set()
    for path in (path for room in rooms for path in tracked(f"{room}/*.py")):
        for top in {name.partition(".")[0] for name in imports(path)} - sys.stdlib_module_names - {*PACKAGES, ""}:
            found = {canonical(distribution) for distribution in provided.get(top, [])}
            if found and not found & requirements:
                missing.add(f"{relative(path)} imports {top} of {'/'.join(sorted(found))}")
    assert missing == set()
