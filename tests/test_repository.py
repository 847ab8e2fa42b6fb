"""Rules of the repository that no linter knows: who imports whom, size of files, no traces of a machine, the lock."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("glofnd", "evaluation", "workflow")
LONGEST_FILE = 400


def tracked(*patterns: str) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


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


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def test_python_files_are_short() -> None:
    lengths = {relative(p): len(p.read_text().splitlines()) for p in tracked("*.py", "*.smk", "Snakefile")}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_names_say_what_is_inside() -> None:
    vague = {"utils", "util", "common", "helpers", "misc"}
    assert [
        relative(p) for p in tracked("*.py", "*.smk") if vague & set(p.relative_to(ROOT).with_suffix("").parts)
    ] == []


def test_names_of_test_files_are_unique() -> None:
    names = Counter(p.name for p in tracked("tests/*.py") if p.name not in ("conftest.py", "__init__.py"))
    assert [name for name, count in names.items() if count > 1] == []


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
    wrong = [
        f"{relative(path)} imports {name}"
        for path in tracked(f"{room}/*.py")
        for name in imports(path)
        if any(within(name, module) for module in FORBIDDEN[room])
    ]
    assert wrong == []


def run_without(allowed: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a Python that imports only the standard library, this repository and what `allowed` needs.

    `allowed` is a distribution; its requirements are followed. An empty string allows none.
    """
    script = f"""
import re, sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()

allowed, queue = set(), [{allowed!r}] if {allowed!r} else []
while queue:
    name = canonical(queue.pop())
    if name in allowed:
        continue
    allowed.add(name)
    try:
        needed = requires(name) or []
    except PackageNotFoundError:
        continue
    queue += [re.match(r"[\\w.-]+", line)[0] for line in needed if "extra ==" not in line]
provided = {{name: {{canonical(d) for d in found}} for name, found in packages_distributions().items()}}
own = {PACKAGES!r}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in own and top in provided and not provided[top] & allowed:
            raise ModuleNotFoundError(f"refused here: {{name}}", name=name)

sys.meta_path.insert(0, Refuse())
{code}
"""
    return subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True)


def test_the_method_needs_torch_alone() -> None:
    done = run_without("torch", "import glofnd, glofnd.state, glofnd.detectors, glofnd.objectives\nprint('imported')")
    assert done.stdout.strip() == "imported", done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "glofnd.registry",
        "glofnd.files",
        "glofnd.lifetime",
        "glofnd.progress",
        "glofnd.provenance",
        "glofnd.data.catalogue",
    ],
)
def test_what_the_config_check_needs_is_free_of_torch(module: str) -> None:
    done = run_without("", f"import {module}\nprint('imported')")
    assert done.stdout.strip() == "imported", done.stderr


def test_the_import_hook_refuses() -> None:
    assert "refused here: torch" in run_without("", "import torch").stderr
    assert "refused here: pandas" in run_without("torch", "import pandas").stderr


UNSAFE_KEYWORDS = {"shell": True, "allow_pickle": True, "weights_only": False}


def unsafe(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called, place = ast.unparse(node.func), f"{relative(path)}:{node.lineno}"
        given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        yield from (f"{place} {key}={value}" for key, value in UNSAFE_KEYWORDS.items() if given.get(key) is value)
        if called == "torch.load" and "weights_only" not in given:
            yield f"{place} torch.load without weights_only=True"
        if called in ("pickle.load", "pickle.loads", "pickle.Unpickler", "os.system"):
            yield f"{place} {called}"


def test_no_unsafe_loading_and_no_shell() -> None:
    paths = [path for package in PACKAGES for path in tracked(f"{package}/*.py")]
    assert [found for path in paths for found in unsafe(path)] == []


def test_nothing_is_left_open() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    paths = [path for package in (*PACKAGES, "benchmarks") for path in tracked(f"{package}/*.py", f"{package}/*.smk")]
    assert [f"{relative(p)}: {found[0]}" for p in paths if (found := marks.search(p.read_text()))] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    machine = re.compile(r"(?<![.\w])/(?:work|tmp|root|opt)/\w+|(?<![.\w])/home/(?!glofnd\b)\w+")
    found = []
    for path in tracked():
        if path.is_relative_to(ROOT / "tests"):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{relative(path)}: {match[0]}" for match in machine.finditer(text)]
    assert found == []


# The lock


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(file: str) -> set[str]:
    """Distributions a requirements file names."""
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    return {canonical(match[0]) for line in lines if (match := re.match(r"[A-Za-z0-9][\w.-]*", line))}


def test_the_lock_names_no_place_to_install_from() -> None:
    lock = (ROOT / "requirements" / "lock.txt").read_text()
    assert re.findall(r"\w+://\S+|^\s*-(?!-hash=sha256:).*|^\S+ @ .*|^[./].*", lock, re.MULTILINE) == []


def test_every_requirement_is_pinned_with_a_hash() -> None:
    lock = (ROOT / "requirements" / "lock.txt").read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^ *#.*\n", "", lock, flags=re.MULTILINE).strip())
    assert len(entries) > 50
    assert [
        e.splitlines()[0] for e in entries if not re.match(r"[\w.-]+==\S+( ;[^\\]+)? \\\n +--hash=sha256:", e)
    ] == []


def test_the_lock_has_everything_that_was_asked_for() -> None:
    assert (named("runtime.in") | named("dev.in")) - named("lock.txt") == set()


def of_library() -> set[str]:
    """Distributions that pyproject.toml names for the packages glofnd and evaluation, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {canonical(re.split(r"[^\w.-]", line)[0]) for line in lines}


NAMED_FOR = {
    "benchmark": (PACKAGES, lambda: named("runtime.in")),
    "library": (("glofnd", "evaluation"), of_library),
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


def test_the_wheel_has_every_file_of_the_library_and_no_workflow(tmp_path: Path) -> None:
    library = {relative(path) for package in ("glofnd", "evaluation") for path in tracked(package)}
    for name in [*library, "pyproject.toml", "LICENSE"]:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "source" / name)
    (tmp_path / "source" / "README.md").touch()
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", *build, str(tmp_path / "source")], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == library


# The files around the code


def test_every_make_target_is_listed() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    targets = set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))
    assert set(phony[1].split()) == targets
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()} == targets


def test_version_and_licence_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{citation["version"]}"' in project
    assert f'license = "{citation["license"]}"' in project
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_pre_commit_hooks_need_no_network() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    assert {hook["language"] for hook in config["repos"][0]["hooks"]} <= {"system", "pygrep"}
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config"], cwd=ROOT, check=True, capture_output=True)
