"""What no line of this repository does: load code from data, hand data to a shell, trust a connection unseen."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Their readers run what a file tells them to.
UNSAFE_MODULES = {"_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
UNSAFE_CALLS = {
    *(
        "pickle.load",
        "pickle.loads",
        "pickle.Unpickler",
        "eval",
        "exec",
        "__import__",
        "os.system",
        "os.popen",
        "tempfile.mktemp",
        "yaml.unsafe_load",
    ),
    *("pd.read_pickle", "pandas.read_pickle", "subprocess.getoutput", "ssl._create_unverified_context"),
}
UNSAFE_WORDS = {"shell": True, "allow_pickle": True, "weights_only": False, "trust_remote_code": True}
# A keyword that a call must have, since it is not safe by default.
NEEDED_WORDS = {"torch.load": "weights_only", "shutil.unpack_archive": "filter", "yaml.load": "Loader"}


def unsafe(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of everything in a module that is not to be there."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found = {name.partition(".")[0] for name in names} & UNSAFE_MODULES
            yield from ((node.lineno, f"imports {name}") for name in found)
        elif isinstance(node, ast.Attribute) and node.attr in ("CERT_NONE", "extractall"):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call):
            called, words = ast.unparse(node.func), {keyword.arg: keyword.value for keyword in node.keywords}
            if called in UNSAFE_CALLS:
                yield node.lineno, called
            for word, value in UNSAFE_WORDS.items():
                if isinstance(given := words.get(word), ast.Constant) and given.value is value:
                    yield node.lineno, f"{word}={value}"
            if (needed := NEEDED_WORDS.get(called)) and needed not in words:
                yield node.lineno, f"{called} without {needed}"


def test_nothing_unsafe_is_called() -> None:
    done = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    found = []
    for path in (path for path in paths if not path.is_relative_to(ROOT / "tests")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in unsafe(tree)]
    assert found == []


def test_the_search_finds() -> None:
    code = """
pickle.loads(x)
eval(x)
subprocess.run(x, shell=True)
torch.load(p)
np.load(p, allow_pickle=True)
tar.extractall(out)
shutil.unpack_archive(p)
yaml.load(x)
"""
    assert len(list(unsafe(ast.parse(code)))) == 8
