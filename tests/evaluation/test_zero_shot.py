import numpy as np
import pytest
import torch
from open_clip.zero_shot_classifier import build_zero_shot_classifier
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score
from stored import make_split, make_store

from evaluation.embedding import class_prompts
from evaluation.feature_store import FeatureStoreError
from evaluation.prompts import PromptError, fill, read_templates, template_names
from evaluation.tasks import ZeroShotTask
from evaluation.zero_shot import classify, run_zero_shot


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


class Stream:
    class manifest:  # noqa: N801
        classes = {"label": ["t_shirt", "trouser", "dress", "bag"]}  # noqa: RUF012
        labels = {"label": np.array([0, 1, -1, 3, 3])}  # noqa: RUF012
        index = np.array([0, 1, 3, 4])


def test_class_prompts_equal_open_clips():
    task = ZeroShotTask("a", templates="photo", among="all")
    found = class_prompts(TextTower(), Stream, task)
    names = [name.replace("_", " ") for name in Stream.manifest.classes["label"]]
    theirs = build_zero_shot_classifier(TextTower(), Tokens, names, read_templates("photo")).T.numpy()
    np.testing.assert_allclose(found["label.photo.all.embedding"], theirs, atol=1e-6)
    assert found["label.photo.all.classes"].tolist() == [0, 1, 2, 3]


def test_only_present_classes_are_offered():
    found = class_prompts(TextTower(), Stream, ZeroShotTask("a"))
    assert found["label.plain.present.classes"].tolist() == [0, 1, 3]
    with pytest.raises(ValueError, match="no label field 'group'; choose from label"):
        class_prompts(TextTower(), Stream, ZeroShotTask("a", label="group"))


def test_accuracy_equals_scikit_learns(tmp_path):
    split = make_split("a.test", 100, classes=7, bimodal=True)
    prompts = {"label.plain.present.classes": np.arange(7), "label.plain.present.embedding": split.text_embedding}
    store = make_store(tmp_path, [split], "bimodal", {"a.test": prompts})
    values = {m["metric"]: m["value"] for m in run_zero_shot(store, [ZeroShotTask("a")]).metrics}
    logits, truth = split.embedding @ split.text_embedding.T, split.labels["label"]
    assert values["top1"] == pytest.approx(top_k_accuracy_score(truth, logits, k=1))
    assert values["top5"] == pytest.approx(top_k_accuracy_score(truth, logits, k=5))
    assert values["mean-per-class"] == pytest.approx(balanced_accuracy_score(truth, logits.argmax(1)))


def test_chunks_change_nothing():
    generator = np.random.default_rng(0)
    pictures, prompts = generator.normal(size=(23, 4)), generator.normal(size=(9, 4))
    np.testing.assert_array_equal(classify(pictures, prompts, chunk=5), classify(pictures, prompts))


def test_missing_prompts_and_unimodal_features(tmp_path):
    split = make_split("a.test", 20, bimodal=True)
    prompts = {"label.plain.present.classes": np.arange(3), "label.plain.present.embedding": split.text_embedding}
    store = make_store(tmp_path / "b", [split], "bimodal", {"a.test": prompts})
    with pytest.raises(FeatureStoreError, match=r"no prompts for label\.emoji\.present; extract features with"):
        run_zero_shot(store, [ZeroShotTask("a", templates="emoji")])
    store = make_store(tmp_path / "u", [make_split("a.test", 20)], prompts={"a.test": prompts})
    with pytest.raises(FeatureStoreError, match="no shared space"):
        run_zero_shot(store, [ZeroShotTask("a")])


@pytest.mark.parametrize("name", template_names())
def test_every_template_file_reads(name):
    assert all("{}" not in text and "x y" in text for text in fill(read_templates(name), "x_y"))


def test_unknown_templates():
    with pytest.raises(PromptError, match="there is no 'plane'; choose from plain"):
        read_templates("plane")
