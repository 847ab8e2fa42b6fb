"""What is evaluated, without an encoder and without pictures: features are drawn."""

import numpy as np

from evaluation.features import Features
from evaluation.results import write_arrays
from tests.evaluation.tiny_shards import run_config


class Drawn:
    """One split; classes are blobs, every picture has hashes of its own."""

    def __init__(self, folder, name, samples, classes=3, seed=0, width=6, noise=1.0, labels=None):
        self.folder, self.name, self.sha256 = folder / name, name, f"shards of {name}"
        generator = np.random.default_rng(seed)
        labels = np.arange(samples) % classes if labels is None else labels
        self.labels, self.index = {"label": labels, "parity": labels % 2}, np.arange(samples)
        centres = np.random.default_rng(99).normal(size=(classes, width))
        drawn = (centres[labels] + noise * generator.normal(size=(samples, width))).astype(np.float32)
        self.features = Features(drawn)
        self.prints(np.arange(samples) + 10**6 * seed, generator.integers(0, 2**63, (samples, 4)).astype(np.uint64))

    def prints(self, content, look):
        """Set the hashes of the pictures."""
        self.content, self.look = content, look
        arrays = {"manifest": np.array(self.sha256), "content": content, "look": look}
        write_arrays(self.folder / "fingerprints.npz", arrays)

    def label(self, field):
        return self.labels[field]


class DrawnSubject:
    """Stands for `evaluation.run.Subject`; splits are named `<dataset>.<split>`."""

    def __init__(self, *splits, seed=1, model=None):
        self.config, self.seed, self.model = run_config("sogclr", "none", seed=seed), seed, model
        self.splits = {split.name: split for split in splits}

    def pictures(self, dataset, split):
        return self.splits[f"{dataset}.{split}"]

    def features(self, dataset, split):
        return self.splits[f"{dataset}.{split}"].features
