import subprocess
import sys

import pytest

from glofnd import registry
from glofnd.detectors import DETECTORS, build_detector
from glofnd.objectives import OBJECTIVES, build_objective
from glofnd.parameters import parameters


@pytest.mark.parametrize(
    ("entries", "classes"), [(registry.DETECTORS, DETECTORS), (registry.OBJECTIVES, OBJECTIVES)], ids=["d", "o"]
)
def test_the_table_says_what_the_constructors_say(entries, classes):
    assert entries.keys() == classes.keys()
    for name, entry in entries.items():
        declared = parameters(classes[name])
        assert {key: schema["default"] for key, schema in entry.parameters.items()} == {
            key: parameter.default for key, parameter in declared.items()
        }


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
