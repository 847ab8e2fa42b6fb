from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clip_benchmark.metrics import zeroshot_retrieval

from evaluation.features import Features
from evaluation.matching.retrieval import RetrievalTask, chance_median, chance_recall, first_ranks, retrieval
from tests.evaluation.drawn_subject import DrawnSubject


def unit(generator, rows, width=8):
    values = generator.normal(size=(rows, width))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_ranks_equal_the_definition():
    generator = np.random.default_rng(0)
    queries, candidates = unit(generator, 30), unit(generator, 40)
    pairs = np.array([(q, c) for q in range(30) for c in generator.choice(40, 1 + q % 4, replace=False)])
    ranks = first_ranks(queries, candidates, pairs, similarities=280)
    for query in range(30):
        right = pairs[pairs[:, 0] == query, 1]
        order = np.argsort(-(queries[query] @ candidates.T))
        assert ranks[query] == np.flatnonzero(np.isin(order, right))[0] + 1


class _Passes:
    """An encoder whose inputs are the embeddings already."""

    encode_image = encode_text = staticmethod(lambda values: values)


def test_equals_clip_benchmark_with_several_captions_each():
    generator = np.random.default_rng(2)
    images = unit(generator, 40)
    owner = np.repeat(np.arange(40), 1 + np.arange(40) % 3)
    texts = images[owner] + 0.8 * unit(generator, len(owner))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    rows = [np.flatnonzero(owner == image) for image in range(40)]
    loader = [(torch.from_numpy(images[i : i + 10]), rows[i : i + 10]) for i in range(0, 40, 10)]
    theirs = zeroshot_retrieval.evaluate(
        _Passes,
        loader,
        lambda chosen: torch.from_numpy(texts[np.array(chosen)]),
        "cpu",
        amp=False,
        recall_k_list=[1, 5, 10],
    )
    pairs = np.stack([owner, np.arange(len(owner))], axis=1)
    to_text, to_image = first_ranks(images, texts, pairs), first_ranks(texts, images, pairs[:, ::-1])
    for k in (1, 5, 10):
        assert (to_text <= k).mean() == pytest.approx(theirs[f"text_retrieval_recall@{k}"])
        assert (to_image <= k).mean() == pytest.approx(theirs[f"image_retrieval_recall@{k}"])


def test_a_collapsed_model_scores_as_chance():
    same = np.ones((11, 4), np.float32) / 2
    ranks = first_ranks(same, same, np.stack([np.arange(11)] * 2, axis=1))
    assert ranks.tolist() == [6] * 11


def test_chance_is_that_of_random_orders():
    generator = np.random.default_rng(0)
    right = np.array([1, 1, 4, 2])
    ranks = np.array([[generator.permutation(21)[:r].min() + 1 for r in right] for _ in range(8_000)])
    assert chance_recall(right, 21, 3) == pytest.approx((ranks <= 3).mean(), abs=0.015)
    assert chance_median(right, 21) == np.median(ranks)
    assert (chance_recall(np.array([1]), 4, 10), chance_median(np.array([1]), 101)) == (1, 51)


def test_findings_count_distinct_captions_and_median_ranks_are_shares_of_the_candidates():
    generator = np.random.default_rng(0)
    owner = np.arange(30) % 3
    features = Features(
        unit(generator, 30), unit(generator, 30), unit(generator, 3), np.stack([np.arange(30), owner], 1)
    )
    split = SimpleNamespace(name="a.test", features=features, index=np.arange(30) + 7)
    findings = retrieval(DrawnSubject(split), [RetrievalTask("a")])
    found = {m["metric"]: m for m in findings.metrics}
    for way, candidates in (("image-to-text", 3), ("text-to-image", 30)):
        metric = found[f"{way}-median-rank"]
        assert metric["candidates"] == candidates
        assert metric["value"] == metric["median_rank"] / candidates <= 1
        assert not metric["higher_is_better"] and not metric["primary"]
    assert findings.predictions["a.test.image-to-text.index"][0] == 7
