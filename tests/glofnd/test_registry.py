import inspect
import subprocess
import sys

import pytest

from glofnd import registry
from glofnd.detectors import build_detector
from glofnd.objectives import build_objective

TABLES = {"detector": registry.DETECTORS, "objective": registry.OBJECTIVES}
METHODS = [(kind, name) for kind, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_parameters_are_those_of_the_constructor(kind, name):
    entry = TABLES[kind][name]
    signature = inspect.signature(registry.load(entry).__init__).parameters
    accepted = {key: p.default for key, p in signature.items() if key not in ("self", "num_samples", "detector")}
    assert set(entry.fixed) <= set(accepted)
    if not entry.fixed:
        assert {key: schema["default"] for key, schema in entry.parameters.items()} == accepted
    else:
        # One class under several names: what a name leaves out, or has another default for, is None in the signature.
        for key in set(accepted) - set(entry.fixed):
            if key in entry.parameters:
                assert accepted[key] in (None, entry.parameters[key]["default"])
            else:
                assert accepted[key] is None


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_defaults_of_the_registry_build_the_same_method(kind, name):
    entry = TABLES[kind][name]
    defaults = registry.with_defaults(entry, {})
    build = build_detector if kind == "detector" else build_objective
    plain, explicit = build(name, 5), build(name, 5, **defaults)
    assert type(plain) is registry.load(entry)
    simple = (int, float, str, bool, type(None))
    values = {key: value for key, value in vars(plain).items() if isinstance(value, simple)}
    assert values == {key: value for key, value in vars(explicit).items() if isinstance(value, simple)}


@pytest.mark.parametrize(("kind", "build"), [("detector", build_detector), ("objective", build_objective)])
def test_unknown_names_and_parameters_are_refused(kind, build):
    with pytest.raises(ValueError, match=f"unknown {kind} 'nonsense'; known: "):
        build("nonsense", 5)
    name = "glofnd" if kind == "detector" else "sogclr"
    with pytest.raises(ValueError, match=f"{kind} '{name}' has no parameter beta; known: "):
        build(name, 5, beta=1)


def test_first_touch():
    assert registry.first_touch("none", {}) is None
    assert registry.first_touch("glofnd", {"start_update": 3, "start_filter": 5}) == 3
    assert registry.first_touch("oracle", {"start_filter": 4}) == 4


def test_registry_does_not_import_torch():
    code = "import sys, glofnd.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
