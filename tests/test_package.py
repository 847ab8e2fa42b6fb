"""What `pip install .` and a source distribution give: built offline, installed elsewhere, used as the README says."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


def tracked(*patterns: str) -> set[str]:
    done = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the source distribution and of the wheel made from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(built.glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """A folder to import it from."""
    target = built / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*command, str(next(built.glob("*.whl")))], check=True, capture_output=True)
    return target


def test_the_wheel_has_the_library_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == tracked("glofnd") and "glofnd/py.typed" in packed


def test_the_source_distribution_has_docs_examples_and_tests(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked("docs", "examples", "tests", "evaluation", "workflow", "README.md", "Makefile") <= packed


def test_metadata(metadata: Message) -> None:
    assert all(metadata[key] for key in ("Version", "Author", "License-Expression", "Keywords", "Project-URL"))
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert [need for need in metadata.get_all("Requires-Dist", []) if "extra" not in need] == ["torch>=2.4"]
    # Where it is shown there are no files beside it.
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", str(metadata.get_payload())) == []


def test_the_loop_of_the_readme_runs(installed: Path) -> None:
    (loop,) = re.findall(r"```python\n(from glofnd import .*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    program = f"""
import sys
sys.path.insert(0, {str(installed)!r})
import torch
N, epoch, index = 8, 0, torch.arange(4)
z1, z2 = torch.nn.functional.normalize(torch.randn(2, 4, 16), dim=2).requires_grad_()
{loop}
loss.backward()
import glofnd
print(loss.isfinite().item(), glofnd.__file__)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=installed, capture_output=True, text=True)
    assert done.stdout.split() == ["True", str(installed / "glofnd/__init__.py")], done.stderr


def test_a_type_checker_knows_the_constructors(tmp_path: Path) -> None:
    """In the checkout, whose cache of mypy `make lint` has filled; the installed library has the same files."""
    (tmp_path / "snippet.py").write_text(
        "from glofnd import GloFND, SogCLR\n"
        "SogCLR(num_samples=10, temperature=0.1, detector=GloFND(num_samples=10, alpha=0.1))\n"
        "GloFND(num_samples=10, alhpa=3)\n"
    )
    command = [sys.executable, "-m", "mypy", str(tmp_path / "snippet.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    (error,) = re.findall(r"snippet.py:(\d+): error: .*", done.stdout)
    assert error == "3" and "alhpa" in done.stdout
