import numpy as np
import pytest

from evaluation.probing.linear import LinearTask, TransferTask, linear, neighbour_votes, transfer
from evaluation.probing.transfer_paper import TransferPaperTask, transfer_paper
from evaluation.statistics.samples import compare_samples
from tests.evaluation.drawn_subject import Drawn, DrawnSubject

TASK = LinearTask("a", fractions=(1, 0.1, 0.01), draws=(1, 2, 3))


def subject_of(folder, seed=1, noise=1.0, width=6, **test):
    train = Drawn(folder, "a.train", 200, classes=8, noise=noise, width=width)
    return DrawnSubject(
        train, Drawn(folder, "a.test", 90, **{"classes": 8, "seed": 1, **test}, noise=noise, width=width)
    )


def values(findings, key):
    return [(m["metric"], m["fraction"], m[key]) for m in findings.metrics if key in m]


@pytest.mark.parametrize(("run", "task"), [(linear, TASK), (transfer, TransferTask("a"))])
def test_test_labels_and_test_pictures_choose_nothing(tmp_path, run, task):
    found = run(subject_of(tmp_path), [task])
    shuffled = subject_of(tmp_path)
    np.random.default_rng(0).shuffle(shuffled.splits["a.test"].labels["label"])
    blind = run(shuffled, [task])
    assert values(found, "strength") == values(blind, "strength")
    for name, array in found.predictions.items():
        if name.endswith(".prediction"):
            np.testing.assert_array_equal(array, blind.predictions[name])
    assert values(found, "value") != values(blind, "value")
    other = subject_of(tmp_path)
    other.splits["a.test"].features.features[:] = 0
    assert values(found, "strength") == values(run(other, [task]), "strength")


@pytest.mark.slow
def test_the_papers_protocol_chooses_on_the_test_set_and_ours_does_not(tmp_path):
    """What makes the paper's protocol optimistic, and ours not."""
    chosen, scores = {transfer_paper: set(), transfer: set()}, {}
    for seed in range(4):
        subject = subject_of(tmp_path, noise=6.0, width=60)
        if seed:
            np.random.default_rng(seed).shuffle(subject.splits["a.test"].labels["label"])
        for run, task in ((transfer_paper, TransferPaperTask("a")), (transfer, TransferTask("a"))):
            metric = run(subject, [task]).metrics[0]
            chosen[run].add(metric["strength"][0])
            scores[run, seed] = metric["value"]
    assert len(chosen[transfer_paper]) > 1 and len(chosen[transfer]) == 1
    assert all(scores[transfer_paper, seed] >= scores[transfer, seed] - 1e-9 for seed in range(4))


def test_one_test_picture_has_no_standard_error(tmp_path):
    train, test = Drawn(tmp_path, "a.train", 40, classes=2), Drawn(tmp_path, "a.test", 1, classes=2, seed=1)
    findings = linear(DrawnSubject(train, test), [LinearTask("a", fractions=(1,), draws=(1,), metric="mean-per-class")])
    assert {m["stderr"] for m in findings.metrics} == {None} and {m["value"] for m in findings.metrics} <= {0, 1}
    hits = [[1], [1]], [[0], [0]]
    assert np.isnan([compare_samples(*hits).sample_low, compare_samples(*hits, classes=[1]).sample_high]).all()


def test_findings_of_every_fraction(tmp_path):
    findings = linear(subject_of(tmp_path), [TASK])
    by_name = {(m["metric"], m["fraction"]): m for m in findings.metrics}
    assert {name.removeprefix("knn-") for name, _ in by_name} == {"top1", "mean-per-class", "top5"}
    full, few = by_name["top1", 1], by_name["top1", 0.01]
    assert (full["chance"], by_name["top5", 1]["chance"], full["n"]) == (1 / 8, 5 / 8, 90)
    assert (full["selection"], few["selection"], few["strength"]) == ("5-fold", "fixed", [1.0] * 3)
    assert (full["labels_used"], few["labels_used"], few["draws"]) == (200, 8, 3)
    assert full["value"] > 0.6 > few["value"] > 0.125
    assert full["primary"] and not by_name["knn-top1", 1]["primary"]
    entry = few["predictions"]
    right = findings.predictions[f"{entry}.prediction"] == findings.predictions[f"{entry}.truth"]
    assert right.shape == (3, 90)
    assert right.mean() == pytest.approx(few["value"])
    assert np.std(right.mean(axis=1), ddof=1) == pytest.approx(few["draw_std"])


def test_pictures_on_both_sides_are_counted_and_scored_apart(tmp_path):
    subject = subject_of(tmp_path)
    train, test = subject.splits["a.train"], subject.splits["a.test"]
    test.look[:6] = train.look[:6]
    test.prints(test.content, test.look)
    findings = transfer(subject, [TransferTask("a")])
    metric = findings.metrics[0]
    assert (metric["shared_pictures"], metric["near_duplicates"]) == (0, 6)
    hits = findings.predictions["a.test.label.prediction"][0] == findings.predictions["a.test.label.truth"]
    assert metric["clean_value"] == pytest.approx(hits[6:].mean())


def test_votes_of_neighbours_equal_the_definition():
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(50, 6)), generator.normal(size=(1100, 6))
    labels = generator.integers(0, 3, 50)
    votes = neighbour_votes(train, labels, 3, 3 * test, k=7, temperature=0.2)
    for row in (0, 1, 1023, 1024, 1099):
        cosine = train @ test[row] / np.linalg.norm(train, axis=1) / np.linalg.norm(test[row])
        nearest = np.argsort(-cosine)[:7]
        plain = [np.exp((cosine[nearest[labels[nearest] == c]] - 1) / 0.2).sum() for c in range(3)]
        np.testing.assert_allclose(votes[row], plain, rtol=1e-10)
    assert neighbour_votes(np.eye(3), np.array([0, 1, 1]), 2, np.eye(3)).argmax(axis=1).tolist() == [0, 1, 1]
