import pytest
from tiny_run import write_tiny


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """24 coloured pictures of 4 classes with captions, 3 shards."""
    return write_tiny(tmp_path_factory.mktemp("shards"), shards=3)
