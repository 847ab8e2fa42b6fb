"""Incremental false negative detection (IFND, Chen et al., ICLR 2022, arXiv 2106.03719): clusters of all samples."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from glofnd.detectors.detector import StartFilter, StartUpdate, Treatment
from glofnd.detectors.memory import MemoryDetector
from glofnd.parameters import Range, checked

__all__ = ["IFND", "kmeans"]

ITERATIONS, TILE = 20, 2**22

Clusters = Annotated[tuple[int, ...] | int, Range(ge=2), "number of clusters, or a list: one clustering for each"]


class IFND(MemoryDetector):
    """Drops the negatives that share the anchor's cluster, where both assignments are among the most confident.

    At the start of each epoch from `start_filter` on, k-means clusters all samples. The confidence of sample i is
    softmax_k(m_i c_k / temperature) at its own centre. In epoch e the share final_share min(1, (e + 1 - start_filter) /
    ramp) of all samples that is most confident is accepted; the others have no false negatives.

    Deviations: embeddings are those of each sample's last visit, both views averaged (`MemoryDetector`), where the
    paper encodes all samples anew each epoch: no second pass over the data, but embeddings are up to an epoch old.
    Centres are normalised (spherical k-means). The paper combines the losses of several clusterings; here more than
    half of them must find the pair. Samples not seen yet belong to no cluster. Under image-text objectives, which
    the paper has not, images are clustered for image anchors and texts for text anchors.

    Raises:
        ValueError: more clusters than samples.
    """

    unshared = "ifnd clusters the embeddings of all samples in one process"

    @checked
    def __init__(
        self,
        num_samples: int,
        dim: int,
        clusters: Clusters = 100,
        temperature: Annotated[float, Range(gt=0), "temperature of the confidence"] = 0.1,
        final_share: Annotated[float, Range(gt=0, le=1), "share of all samples accepted at the end"] = 1.0,
        ramp: Annotated[int, Range(ge=1), "epochs over which the accepted share grows"] = 10,
        start_update: StartUpdate = 0,
        start_filter: StartFilter = 1,
        treatment: Treatment = "eliminate",
    ) -> None:
        self.clusters = (clusters,) if isinstance(clusters, int) else tuple(clusters)
        if not self.clusters or max(self.clusters) > num_samples:
            most = max(self.clusters, default=0)
            raise ValueError(f"clusters: {most} of {num_samples} samples; give at least one number, none above")
        none = torch.full((len(self.clusters),), -1.0)
        super().__init__(num_samples, dim, 0.0, start_update, start_filter, treatment, cluster=none)
        self.temperature, self.final_share, self.ramp = temperature, final_share, ramp

    def begin_epoch(self, epoch: int) -> None:
        """Cluster all samples once for each number of clusters; those that are not accepted are in cluster -1.

        On one rank, which tells the others: the least difference in rounding can end in other clusters.
        """
        ranks = self.state.ranks
        clusters = self.clusters if ranks is None or ranks.rank == 0 else ()
        memory = self.state.whole("memory")
        seen = memory.any(1).nonzero().squeeze(1)
        points = normalize(memory[seen], dim=1)
        accepted = round(len(seen) * self.final_share * min(1.0, (epoch + 1 - self.start_filter) / self.ramp))
        cluster = torch.full_like(self.state.whole("cluster"), -1)
        for run, number in enumerate(clusters if accepted else ()):
            centres = kmeans(points, min(number, len(points)), seed=1000 * epoch + run)
            tiles = torch.split(points, max(1, TILE // len(centres)))
            found = [(tile @ centres.T / self.temperature).softmax(1).max(1) for tile in tiles]
            confidence, own = torch.cat([best.values for best in found]), torch.cat([best.indices for best in found])
            certain = confidence.topk(accepted).indices
            cluster[seen[certain], run] = own[certain].to(cluster.dtype)
        self.state.fill("cluster", cluster if ranks is None else ranks.first(cluster))

    def found(self, anchors: dict[str, Tensor], candidates: dict[str, Tensor]) -> Tensor:
        """Same cluster, accepted, in more than half of the clusterings."""
        ours, theirs = anchors["cluster"].unsqueeze(1), candidates["cluster"]
        votes = [(ours[..., run] == theirs[:, run]) & (theirs[:, run] >= 0) for run in range(len(self.clusters))]
        return 2 * torch.stack(votes).sum(0) > len(votes)


def kmeans(points: Tensor, clusters: int, seed: int) -> Tensor:
    """Centres of spherical k-means (Dhillon and Modha, 2001), begun at random points; empty clusters get a new centre.

    Sums are matrix products, which on a GPU add up in a fixed order, where scattered additions do not.

    Args:
        points: unit vectors [N, D].
        clusters: K, at most N.
        seed: of the first centres; the same points and seed give the same centres.

    Returns:
        Unit vectors [K, D].
    """
    first = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:clusters]
    centres, previous = points[first.to(points.device)], None
    for _ in range(ITERATIONS):
        sums, counts, best, nearest = torch.zeros_like(centres), points.new_zeros(clusters), [], []
        for tile in torch.split(points, max(1, TILE // clusters)):
            similarity, own = (tile @ centres.T).max(1)
            member = one_hot(own, clusters).to(points.dtype)
            sums += member.T @ tile
            counts += member.sum(0)
            best.append(similarity)
            nearest.append(own)
        assignment, empty = torch.cat(nearest), (counts == 0).nonzero().squeeze(1)
        # The points that are worst off, one for each empty cluster.
        sums[empty] = points[torch.cat(best).topk(len(empty), largest=False).indices]
        centres = normalize(sums, dim=1)
        if previous is not None and not len(empty) and torch.equal(assignment, previous):
            break
        previous = assignment
    return centres
