import numpy as np
from stored import make_split, make_store

from evaluation.classification import run_transfer
from evaluation.tasks import TransferPaperTask, TransferTask
from evaluation.transfer_paper import PROTOCOL, run_transfer_paper


def noisy_store(folder):
    """Many features and few samples, so that C matters."""
    splits = [
        make_split("a.train", 60, classes=4, width=80, seed=3),
        make_split("a.test", 400, classes=4, width=80, seed=4),
    ]
    for split in splits:
        split.features[:] += 6 * np.random.default_rng(split.content[0]).normal(size=split.features.shape)
    return make_store(folder, splits)


def test_the_test_set_chooses_so_it_is_never_below_our_protocol(tmp_path):
    store = noisy_store(tmp_path)
    theirs, ours = run_transfer_paper(store, [TransferPaperTask("a")]), run_transfer(store, [TransferTask("a")])
    assert (theirs.evaluation, theirs.protocol) == ("transfer-paper", PROTOCOL)
    assert theirs.metrics[0]["selection"] == "best C on the test set"
    assert theirs.metrics[0]["value"] >= ours.metrics[0]["value"] - 1e-9


def test_permuting_the_test_labels_changes_its_choice_but_not_ours(tmp_path):
    """What makes the paper's protocol optimistic, and ours not."""
    chosen = {"theirs": set(), "ours": set()}
    for seed in range(4):
        store = noisy_store(tmp_path / str(seed))
        labels = store.split("a", "test").labels["label"]
        np.random.default_rng(seed).shuffle(labels)
        chosen["theirs"].add(run_transfer_paper(store, [TransferPaperTask("a")]).metrics[0]["strength"][0])
        chosen["ours"].add(run_transfer(store, [TransferTask("a")]).metrics[0]["strength"][0])
    assert len(chosen["theirs"]) > 1
    assert len(chosen["ours"]) == 1
