"""What no line of this repository does: load code from data, hand data to a shell, trust a connection unseen."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from glofnd.data.sources import emoji, fashion_mnist, published
from glofnd.data.sources.archives import Published

ROOT = Path(__file__).resolve().parents[2]
# Their readers run what a file tells them to.
UNSAFE_MODULES = {"_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
UNSAFE_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp", "yaml.unsafe_load"),
    *("pd.read_pickle", "pandas.read_pickle", "np.fromregex", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("ssl._create_unverified_context", "shutil.unpack_archive"),
}
UNSAFE_WORDS = {"shell": True, "allow_pickle": True, "weights_only": False, "trust_remote_code": True}
# A keyword that a call must have, since it is not safe by default.
NEEDED_WORDS = {"torch.load": "weights_only", "archive.extract": "filter"}


def tracked(*patterns: str) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def unsafe(tree: ast.AST, zips: bool = False) -> Iterator[tuple[int, str]]:
    """(line, what) of everything in a module that is not to be there. `zips`: `extract` of zips takes no filter."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = [getattr(node, "module", None) or ""] if isinstance(node, ast.ImportFrom) else []
            names = {name.partition(".")[0] for name in (*module, *(alias.name for alias in node.names))}
            yield from ((node.lineno, f"imports {name}") for name in names & UNSAFE_MODULES)
            if "pickle" in module:
                yield node.lineno, "imports from pickle"
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            if node.attr != "UnpicklingError":  # to be caught
                yield node.lineno, f"pickle.{node.attr}"
        elif isinstance(node, ast.Attribute) and node.attr in ("CERT_NONE", "extractall"):
            yield node.lineno, node.attr
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        words = {keyword.arg: keyword.value for keyword in node.keywords}
        unverified = called.startswith(("requests.", "httpx.")) and "verify" in words
        if unverified or called in UNSAFE_CALLS or (called == "yaml.load" and "Loader" not in words):
            yield node.lineno, called
        for word, value in UNSAFE_WORDS.items():
            if isinstance(given := words.get(word), ast.Constant) and given.value is value:
                yield node.lineno, f"{word}={value}"
        needed = NEEDED_WORDS.get(called)
        if needed and needed not in words and not (zips and called == "archive.extract"):
            yield node.lineno, f"{called} without {needed}"


def test_nothing_unsafe_is_called() -> None:
    found = []
    for path in tracked("*.py"):
        if path.is_relative_to(ROOT / "tests"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # The one place that unpacks zips checks every member itself.
        archives = path.name == "archives.py"
        found += [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in unsafe(tree, zips=archives)]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        *(
            "pickle.loads(x)",
            "from pickle import loads",
            "from joblib import load",
            "eval(x)",
            "os.system(x)",
            "subprocess.run(x, shell=True)",
        ),
        *("torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)"),
        *("yaml.load(x)", "archive.extract(m, out)", "tar.extractall(out)", "requests.get(u, verify=False)"),
        *("context.verify_mode = ssl.CERT_NONE", "ssl._create_unverified_context()"),
    ],
)
def test_the_search_finds(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


# What stands in a rule's command without being quoted there: numbers, and commands that are quoted already.
READY = {"threads", "wildcards.epoch", "JOB", "params.command"}


def test_rules_quote_everything_that_comes_from_config_or_files() -> None:
    found = set()
    for path in tracked("*.smk"):
        for command in re.findall(r'\n    shell:\n((?:        ".*"\n)+)', path.read_text(encoding="utf-8")):
            found |= set(re.findall(r"{([^{}]+)}", command))
    assert len(found) > 8
    assert {name for name in found if not name.endswith(":q")} == READY


def sources() -> Iterator[Published]:
    yield from (value for value in vars(published).values() if isinstance(value, Published))


def test_every_download_is_pinned() -> None:
    archives = [archive for source in sources() for archive in source.archives]
    assert len(archives) == 10
    assert all(re.fullmatch("[0-9a-f]{64}", archive.sha256) and archive.bytes > 0 for archive in archives)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in fashion_mnist.FILES.values())
    packages = [*emoji.VENDORS.values(), emoji.EMOJIBASE]
    assert all(re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package.integrity) for package in packages)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", package.version) for package in packages)


def test_plain_http_is_used_where_the_publisher_has_nothing_else() -> None:
    plain = [archive.url for source in sources() for archive in source.archives if not archive.url.startswith("https:")]
    assert plain == ["http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"]
