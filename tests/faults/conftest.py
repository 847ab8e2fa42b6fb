"""Faults on purpose: what takes longer than a moment, or needs root, runs with `make test-faults`."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.called_commands import Commands

ASKED = "GLOFND_TEST_FAULTS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(ASKED):
        return
    skip = pytest.mark.skip(reason="`make test-faults` runs the long tests of faults")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    """Calls the project's commands in this process, whose signals they leave as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    yield Commands(monkeypatch, capfd)
    for number, handler in before.items():
        signal.signal(number, handler)
