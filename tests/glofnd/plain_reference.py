"""The method as METHOD states it, anchor by anchor, in float64 with autograd: slow, and meant to be read.

State is a plain dict {sample: value}; every occurrence of a sample in a batch starts from the state before the batch,
and the sample keeps the mean of its occurrences (of log u).
"""

import math
from collections import defaultdict
from statistics import NormalDist

import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.98, 1e-8


def number(x):
    return float(x.detach()) if isinstance(x, Tensor) else float(x)


def mean_of_occurrences(pairs):
    grouped = defaultdict(list)
    for sample, value in pairs:
        grouped[sample].append(value)
    return {sample: sum(values) / len(values) for sample, values in grouped.items()}


class PlainDetector:
    """Decides, per anchor and view, which negatives to keep. `rows[i][k]` holds the negatives of anchor i in view k."""

    def __init__(self, name, alpha=0.01, lr=None, learner=None, init="one", normalize_gradient=False, clip=None,
                 start_update=0, start_filter=0, treatment="eliminate"):  # fmt: skip
        self.name, self.alpha, self.init = name, alpha, init
        self.learner = learner or ("moments" if name == "location-scale" else "adam")
        self.lr = lr if lr is not None else (0.2 if self.learner == "moments" else 0.05)
        self.normalize_gradient, self.clip, self.treatment = normalize_gradient, clip, treatment
        self.start_update, self.start_filter = start_update, start_filter
        self.threshold, self.m, self.v = defaultdict(lambda: 1.0), defaultdict(float), defaultdict(float)
        self.mean, self.std, self.residual = defaultdict(float), defaultdict(float), defaultdict(float)
        self.visits, self.tail = defaultdict(float), NormalDist().inv_cdf(1 - alpha)

    def _gradient(self, views, threshold):
        total = sum(len(s) for s in views)
        g = self.alpha - sum(int((s > threshold).sum()) for s in views) / total
        if self.normalize_gradient:
            g /= self.alpha
        if self.clip is not None:
            g = max(-self.alpha * self.clip, min(self.alpha * self.clip, g))
        return g

    def _descend(self, threshold, m, v, g, epoch):
        if self.learner == "sgd":
            return max(-1.0, min(1.0, threshold - self.lr * g)), m, v
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g * g
        step = (m / (1 - BETA1 ** (epoch + 1))) / (math.sqrt(v / (1 - BETA2 ** (epoch + 1))) + EPS)
        return max(-1.0, min(1.0, threshold - self.lr * step)), m, v

    def _batch_quantile(self, views):
        return sum(float(torch.quantile(s, 1 - self.alpha)) for s in views) / len(views)

    def keep(self, rows, index, epoch, own_label=None, negative_labels=None):
        """Keep-masks per anchor and view; learns on the way."""
        everything = [[torch.ones_like(s, dtype=torch.bool) for s in views] for views in rows]
        if self.name == "none" or not rows or len(rows[0][0]) == 0:
            return everything
        thresholds = self._learn(rows, index, epoch) if epoch >= self.start_update else None
        if epoch < self.start_filter:
            return everything
        if self.name == "batch-quantile":
            return [[s <= torch.quantile(s, 1 - self.alpha) for s in views] for views in rows]
        if self.name == "oracle":
            return [[labels != own for labels in views] for own, views in zip(own_label, negative_labels, strict=True)]
        return [[s <= t for s in views] for t, views in zip(thresholds, rows, strict=True)]

    def _learn(self, rows, index, epoch):
        first = self.init == "quantile" and epoch == self.start_update
        if self.name == "global-threshold":
            state = (self.threshold[0], self.m[0], self.v[0])
            if first:
                new = (sum(self._batch_quantile(views) for views in rows) / len(rows), *state[1:])
            else:
                g = sum(self._gradient(views, state[0]) for views in rows) / len(rows)
                new = self._descend(*state, g, epoch)
            self.threshold[0], self.m[0], self.v[0] = new
            return [new[0]] * len(rows)
        if self.name == "location-scale":
            return self._learn_moments(rows, index)
        if self.name != "glofnd":
            return None
        new = []
        for sample, views in zip(index, rows, strict=True):
            state = (self.threshold[sample], self.m[sample], self.v[sample])
            if first:
                new.append((self._batch_quantile(views), *state[1:]))
            else:
                new.append(self._descend(*state, self._gradient(views, state[0]), epoch))
        for name, column in zip(("threshold", "m", "v"), zip(*new, strict=True), strict=True):
            getattr(self, name).update(mean_of_occurrences(zip(index, column, strict=True)))
        return [n[0] for n in new]

    def _learn_moments(self, rows, index):
        new, surpluses, thresholds = [], [], []
        for sample, views in zip(index, rows, strict=True):
            s = torch.cat(views)
            visits = self.visits[sample] + 1
            rate = max(1 / visits, 0.1)
            mean = (1 - rate) * self.mean[sample] + rate * float(s.mean())
            std = (1 - rate) * self.std[sample] + rate * float(s.std(unbiased=False))
            threshold = max(-1.0, min(1.0, mean + self.tail * std + self.residual[sample]))
            surplus = (float((s > threshold).double().mean()) - self.alpha) / self.alpha
            residual = self.residual[sample] + self.lr * std * surplus / (1 + 0.2 * visits)
            new.append((mean, std, residual, visits))
            surpluses.append(surplus)
            thresholds.append(max(-1.0, min(1.0, mean + self.tail * std + residual)))
        for name, column in zip(("mean", "std", "residual", "visits"), zip(*new, strict=True), strict=True):
            getattr(self, name).update(mean_of_occurrences(zip(index, column, strict=True)))
        self.tail += 0.005 * sum(surpluses) / len(surpluses)
        return thresholds


class PlainObjective:
    """Loss of one batch, and all state after it."""

    def __init__(self, name, detectors, temperature, gamma=0.9, gamma_end=0.2, gamma_epochs=18, rho=0.0,
                 temperature_lr=0.01, bounds=(0.05, 0.7)):  # fmt: skip
        self.name, self.detectors, self.gamma = name, detectors, gamma
        self.gamma_end, self.gamma_epochs = gamma_end, gamma_epochs
        self.temperature, self.rho, self.temperature_lr, self.bounds = temperature, rho, temperature_lr, bounds
        self.u = {modality: {} for modality in detectors}
        self.tau = {modality: defaultdict(lambda: float(temperature)) for modality in detectors}
        self.velocity = {modality: defaultdict(float) for modality in detectors}

    def loss(self, z1: Tensor, z2: Tensor, index, epoch, labels=None):
        a, b = (z / z.norm(dim=1, keepdim=True) for z in (z1, z2))
        index = [int(i) for i in index]
        if self.name in ("simclr", "sogclr", "isogclr"):
            return self._side("image", [a, b], [b, a], index, epoch, labels, unimodal=True)
        total = self._side("image", [a], [b], index, epoch, labels) + self._side("text", [b], [a], index, epoch, labels)
        return total + self.rho * self.temperature if self.name == "fastclip-v3" else total

    def _side(self, modality, anchors, others, index, epoch, labels, unimodal=False):
        """`anchors[k]`: unit vectors of view k; its negatives are `others[k]` and, unimodal, `anchors[k]` itself."""
        size = len(index)
        rows, own, negative_labels = [], [], []
        for i in range(size):
            rest = [j for j in range(size) if j != i]
            row = []
            for own_view, other_view in zip(anchors, others, strict=True):
                columns = [other_view[rest]] + ([own_view[rest]] if unimodal else [])
                row.append(torch.cat(columns) @ own_view[i])
            rows.append(row)
            own.append([x[i] @ y[i] for x, y in zip(anchors, others, strict=True)])
            if labels is not None:
                negative_labels.append([labels[rest].repeat(2 if unimodal else 1) for _ in anchors])
        detector = self.detectors[modality]
        detached = [[s.detach() for s in row] for row in rows]
        keep = detector.keep(detached, index, epoch, labels, negative_labels)
        total, memory, temperatures = 0.0, [], []
        for i, sample in enumerate(index):
            estimates, slopes = [], []
            for k, p in enumerate(own[i]):
                s, mask = rows[i][k], keep[i][k]
                positives = torch.cat([p[None], s[~mask]]) if detector.treatment == "attract" else p[None]
                total = total + self._row(
                    modality, sample, epoch, p, positives.mean(), s[mask], len(s), estimates, slopes
                )
            if estimates:
                memory.append((sample, math.log(sum(estimates) / len(estimates))))
                g = float(sum(slopes) / len(slopes)) + self.rho
                velocity = 0.9 * self.velocity[modality][sample] + 0.1 * g
                low, high = self.bounds
                tau = max(low, min(high, self.tau[modality][sample] - self.temperature_lr * velocity))
                temperatures.append((sample, velocity, tau))
        self.u[modality].update({i: math.exp(log_u) for i, log_u in mean_of_occurrences(memory).items()})
        self.velocity[modality].update(mean_of_occurrences([(i, v) for i, v, _ in temperatures]))
        if self.name in ("isogclr", "fastclip-v2"):
            self.tau[modality].update(mean_of_occurrences([(i, t) for i, _, t in temperatures]))
        return total / size

    def _row(self, modality, sample, epoch, p, alignment, s, n, estimates, slopes):
        if self.name in ("simclr", "clip"):
            tau, weight = self.temperature, 1.0 if self.name == "simclr" else 0.5
            if len(s) == 0:
                return -weight * alignment / number(tau)
            total = (p / tau).exp() + n / len(s) * (s / tau).exp().sum()
            return weight * (total.log() - alignment / tau)
        if self.name in ("sogclr", "isogclr"):
            if len(s) == 0:
                return -alignment
            tau = self.tau[modality][sample]
            e = (s / tau).exp()
            u = self._average(modality, sample, float(e.mean().detach()), self.gamma, 0.0)
            w = (e / u).detach()
            estimates.append(u)
            slopes.append(math.log(u) - float((w * s).mean().detach()) / tau)
            return -alignment + (w * s).mean()
        tau = self.tau[modality][sample] if self.name != "fastclip-v3" else self.temperature
        factor = 1.0 if self.name == "fastclip-v1" else number(tau)
        if len(s) == 0:
            return -factor * alignment / number(tau)
        h = ((s - alignment) / tau).exp().mean()
        u = self._average(modality, sample, float(h.detach()), self._gamma(epoch), 1e-35)
        w = ((s - alignment) / tau).exp().detach() / (u + 1e-14)
        estimates.append(u)
        slopes.append(math.log(u) - float((w * (s - alignment)).mean().detach()) / number(tau))
        value = factor * h / (u + 1e-14)
        return value + tau / 2 * math.log(u) if self.name == "fastclip-v3" else value

    def _average(self, modality, sample, estimate, gamma, floor):
        old = self.u[modality].get(sample, 0.0)
        return estimate if old <= floor else (1 - gamma) * old + gamma * estimate

    def _gamma(self, epoch):
        if epoch >= self.gamma_epochs:
            return self.gamma_end
        return self.gamma_end + (1 - self.gamma_end) * (1 + math.cos(math.pi * epoch / self.gamma_epochs)) / 2
