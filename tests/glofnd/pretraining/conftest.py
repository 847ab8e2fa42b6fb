import pytest

from glofnd.pretraining import loop
from tests.glofnd.pretraining.tiny_run import write_tiny


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """24 coloured pictures of 4 classes with captions, 3 shards."""
    return write_tiny(tmp_path_factory.mktemp("shards"), shards=3)


@pytest.fixture
def no_git(monkeypatch):
    """Asking git for the state of the tree takes longer than a step."""
    monkeypatch.setattr(loop, "provenance", lambda config, inputs, watch, device: {"inputs": inputs})
