"""The command `retrieval`: pictures find captions and captions find pictures."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from evaluation.accuracy import top1
from evaluation.feature_store import FeatureStore, FeatureStoreError
from evaluation.naming import suffixes
from evaluation.old_results import Findings
from evaluation.old_tasks import RetrievalTask
from glofnd.progress import progress

__all__ = ["PROTOCOL", "chance_median", "chance_recall", "first_ranks", "run_retrieval"]

Array = NDArray[Any]

PROTOCOL = "retrieval-distinct-captions"
"""Candidates are distinct captions (a text that several pictures share is one candidate, right for all of them) and all
pictures. A query succeeds at k if any right candidate is among its k best."""


def first_ranks(queries: Array, candidates: Array, pairs: Array, similarities: int = 2**24) -> Array:
    """Rank, from 1, of the best right candidate of every query; int64 [Q].

    Ties count half: a right candidate that n wrong ones equal is placed in their middle, so that a collapsed model, to
    which all candidates are alike, scores as chance does and not 100 %.

    Args:
        queries: L2-normalised [Q, D].
        candidates: L2-normalised [M, D].
        pairs: int [P, 2], (query, candidate) that belong together; every query in at least one.
        similarities: held at a time, in whole queries: the memory does not grow with Q, and with M only beyond this.

    Raises:
        ValueError: a query has no right candidate.
    """
    right = csr_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(queries), len(candidates)))
    empty = np.flatnonzero(np.diff(right.indptr) == 0)
    if len(empty):
        raise ValueError(f"query {empty[0]} has no right candidate")
    ranks = np.empty(len(queries), dtype=np.int64)
    chunk = max(1, similarities // len(candidates))
    starts = range(0, len(queries), chunk)
    for start in progress(starts, len(starts), "ranking", "chunks"):
        similarity = queries[start : start + chunk] @ candidates.T
        part = right[start : start + chunk]
        rows = np.repeat(np.arange(len(similarity)), np.diff(part.indptr))
        own = similarity[rows, part.indices]
        best = np.full(len(similarity), -np.inf, dtype=similarity.dtype)
        np.maximum.at(best, rows, own)
        # Right candidates are out of the race: only wrong ones push the best right one down.
        similarity[rows, part.indices] = -np.inf
        above = (similarity > best[:, None]).sum(axis=1)
        equal = (similarity == best[:, None]).sum(axis=1)
        ranks[start : start + chunk] = 1 + above + (equal + 1) // 2
    return ranks


def chance_recall(right: Array, candidates: int, k: int) -> float:
    """Expected recall at k of a random order, given the number of right candidates of every query [Q].

    A query with r right ones among M fails with probability C(M - r, k) / C(M, k).
    """
    counts, weight = np.unique(right, return_counts=True)
    steps = np.arange(min(k, candidates))
    left = np.maximum(candidates - counts[:, None] - steps, 0) / (candidates - steps)
    return float(1 - (left.prod(axis=1) * weight).sum() / weight.sum())


def chance_median(right: Array, candidates: int) -> int:
    """Median rank in a random order, given the number of right candidates of every query [Q]."""
    return bisect_left(range(candidates + 1), 0.5, key=lambda k: chance_recall(right, candidates, k))


def run_retrieval(store: FeatureStore, tasks: list[RetrievalTask]) -> Findings:
    """Recall at every k and the median rank, both ways, of every task."""
    findings = Findings(store.run, "retrieval", PROTOCOL)
    suffixes([vars(task) for task in tasks])  # refuses two tasks with the same names
    for task in tasks:
        split = store.split(task.dataset, task.split)
        if split.embedding is None or split.text_embedding is None or split.caption_pair is None:
            raise FeatureStoreError(f"{split.name}: retrieval needs a bimodal model and captions; there are none")
        pairs = split.caption_pair
        for way, queries, candidates, order in (
            ("image-to-text", split.embedding, split.text_embedding, pairs),
            ("text-to-image", split.text_embedding, split.embedding, pairs[:, ::-1]),
        ):
            ranks = first_ranks(queries, candidates, order)
            right = np.bincount(order[:, 0], minlength=len(queries))
            entry = f"{split.name}.{way}"
            for k in task.ks:
                found = top1(ranks <= k)
                findings.add(
                    task.dataset,
                    task.split,
                    f"{way}-recall-at-{k}",
                    found.value,
                    len(ranks),
                    stderr=found.stderr,
                    chance=chance_recall(right, len(candidates), k),
                    primary=k == max(task.ks),
                    median_rank=float(np.median(ranks)),
                    candidates=len(candidates),
                    predictions=entry,
                )
            findings.add(
                task.dataset,
                task.split,
                f"{way}-median-rank",
                float(np.median(ranks)) / len(candidates),
                len(ranks),
                chance=chance_median(right, len(candidates)) / len(candidates),
                higher_is_better=False,
                primary=False,
                median_rank=float(np.median(ranks)),
                candidates=len(candidates),
                predictions=entry,
            )
            # A query's prediction is the rank of its first right candidate; the truth is the best rank there is.
            index = split.index if way == "image-to-text" else np.arange(len(ranks))
            findings.predict(entry, index, ranks, np.ones_like(ranks))
    return findings
