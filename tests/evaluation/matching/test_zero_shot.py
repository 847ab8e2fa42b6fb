from types import SimpleNamespace

import numpy as np
import pytest
import torch
from open_clip.zero_shot_classifier import build_zero_shot_classifier
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from evaluation.features import Features
from evaluation.matching.zero_shot import (
    ZeroShotTask,
    class_prompts,
    fill,
    read_templates,
    template_names,
    zero_shot,
)
from tests.evaluation.drawn_subject import DrawnSubject

NAMES = ["t_shirt", "trouser", "dress", "bag", "coat", "shoe", "hat"]


class TextTower:
    """A text's embedding is drawn from its characters."""

    def embed_text(self, texts):
        rows = [np.random.default_rng(list(text.encode())).normal(size=6) for text in texts]
        return torch.from_numpy(np.array(rows)).float()

    def encode_text(self, texts, normalize=False):
        values = self.embed_text(texts)
        return torch.nn.functional.normalize(values, dim=-1) if normalize else values


class Tokens(list):
    def to(self, device):
        return self


def split_of(labels, embedding=None):
    return SimpleNamespace(
        name="a.test",
        manifest=SimpleNamespace(classes={"label": NAMES}),
        label=lambda field: labels,
        index=np.arange(len(labels)),
        features=Features(np.zeros((len(labels), 1)), embedding),
    )


def test_class_prompts_equal_open_clips():
    pictures = split_of(np.array([0, 1, 3, 3]))
    classes, found = class_prompts(TextTower(), pictures, ZeroShotTask("a", templates="photo", among="all"))
    names = [name.replace("_", " ") for name in NAMES]
    theirs = build_zero_shot_classifier(TextTower(), Tokens, names, read_templates("photo")).T.numpy()
    np.testing.assert_allclose(found, theirs, atol=1e-6)
    assert classes.tolist() == list(range(7))
    classes, present = class_prompts(TextTower(), pictures, ZeroShotTask("a", templates="photo"))
    assert classes.tolist() == [0, 1, 3]
    np.testing.assert_allclose(present, theirs[[0, 1, 3]], atol=1e-6)


def test_accuracy_equals_scikit_learns():
    generator = np.random.default_rng(0)
    truth, embedding = np.arange(100) % 7, generator.normal(size=(100, 6))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    pictures, task = split_of(truth, embedding), ZeroShotTask("a")
    values = {m["metric"]: m["value"] for m in zero_shot(DrawnSubject(pictures, model=TextTower()), [task]).metrics}
    logits = embedding @ class_prompts(TextTower(), pictures, task)[1].T
    assert values["top1"] == pytest.approx(top_k_accuracy_score(truth, logits, k=1))
    assert values["top5"] == pytest.approx(top_k_accuracy_score(truth, logits, k=5))
    assert values["mean-per-class"] == pytest.approx(balanced_accuracy_score(truth, logits.argmax(1)))
    with pytest.raises(ValueError, match="no shared space"):
        zero_shot(DrawnSubject(split_of(truth), model=TextTower()), [task])


@pytest.mark.parametrize("name", template_names())
def test_every_template_file_reads(name):
    assert all("{}" not in text and "x y" in text for text in fill(read_templates(name), "x_y"))
