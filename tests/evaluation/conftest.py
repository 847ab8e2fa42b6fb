import pytest
import torch
from tiny_shards import run_config, write_split

from glofnd.pretraining import pretrain


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small problems wait for each other's threads where the machine is busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards")
    write_split(root, "train", 28, seed=0)
    write_split(root, "test", 12, seed=1)
    return root


@pytest.fixture(scope="session")
def trained(shards, tmp_path_factory):
    """Trains each run asked for once; returns its checkpoint."""
    done = {}

    def train(objective="sogclr", detector="none", modality="unimodal", **options):
        key = (objective, detector, modality, tuple(options.items()))
        if key not in done:
            out = tmp_path_factory.mktemp("run")
            pretrain(run_config(objective, detector, modality, **options), shards / "tiny" / "train", out)
            done[key] = out / "checkpoint.pt"
        return done[key]

    return train
