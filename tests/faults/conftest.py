"""Faults on purpose: what takes longer than a moment, or needs root, runs with `make test-faults`."""

import os
from pathlib import Path

import pytest

ASKED = "GLOFND_TEST_FAULTS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(ASKED):
        return
    skip = pytest.mark.skip(reason="`make test-faults` runs the long tests of faults")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and "slow" in item.keywords:
            item.add_marker(skip)
