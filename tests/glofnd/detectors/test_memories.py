"""FNC, IFND and memory quantile against their rules, pair by pair, in double precision."""

from itertools import combinations

import pytest
import torch
from torch.nn.functional import normalize

from glofnd import FNC, IFND, MemoryQuantile, SogCLR
from glofnd.detectors.ifnd import kmeans
from tests.glofnd.objectives.common import DIM, SAMPLES, draw, make, same_state, snapshot

MEMORY = {
    "ifnd": {"clusters": [2, 3, 4], "ramp": 3, "final_share": 0.9},
    "memory-quantile": {"momentum": 0.6},
}


def unit(z):
    return [normalize(x.detach(), dim=1) for x in z]


def dropped(objective, z, index, epoch, modality="image"):
    """Dropped pairs, bool [V, B, V, B], from inspection in mid-epoch."""
    seen = objective.inspect(*z, index, epoch=epoch)[modality]
    views = 2 if len(objective.detectors) == 1 else 1
    return seen.dropped.view(views, len(index), views, len(index))


@pytest.mark.parametrize("aggregate", ["max", "mean"])
@pytest.mark.parametrize(("top_k", "threshold"), [(2, None), (None, 0.4), (3, 0.4), (99, 0.4)])
def test_fnc(aggregate, top_k, threshold):
    for name in ("sogclr", "clip"):
        objective = make(name, "fnc", aggregate=aggregate, top_k=top_k, threshold=threshold)
        z, index = draw()
        a, b = unit(z)
        for modality, views, columns in (("image", [a], [b]), ("text", [b], [a])):
            if name == "sogclr":
                views = columns = [a, b]
            found = dropped(objective, z, index, 0, modality if name == "clip" else "image")
            for i in range(6):
                scores = {}
                for g, j in ((g, j) for g in range(len(columns)) for j in range(6) if j != i):
                    s = [float(view[i] @ columns[g][j]) for view in views]
                    scores[g, j] = max(s) if aggregate == "max" else sum(s) / len(s)
                best = sorted(scores, key=scores.get, reverse=True)[:top_k]
                expected = {key for key in best if threshold is None or scores[key] > threshold}
                for v in range(len(views)):
                    assert {(int(g), int(j)) for g, j in found[v, i].nonzero()} == expected


@pytest.mark.parametrize("name", ["sogclr", "clip"])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_the_memory_is_the_average_over_visits(name, momentum):
    """From the first epoch that learns on; repeated samples keep the mean; text anchors have a memory of texts."""
    objective = make(name, "memory-quantile", momentum=momentum, start_update=1, start_filter=9)
    expected = {modality: torch.zeros(SAMPLES, DIM, dtype=torch.float64) for modality in objective.detectors}
    for epoch in range(4):
        z, index = draw(seed=epoch, repeated=True)
        objective(*z, index, epoch=epoch)
        a, b = unit(z)
        for modality, memory in expected.items() if epoch else ():
            new = {"image": a, "text": b}[modality] if name == "clip" else normalize((a + b) / 2, dim=1)
            before = memory.clone()
            for i in index.unique().tolist():
                visits = [momentum * before[i] + (1 - momentum) * x if before[i].any() else x for x in new[index == i]]
                memory[i] = torch.stack([x / x.norm() for x in visits]).mean(0)
        for modality, memory in expected.items():
            torch.testing.assert_close(objective.detectors[modality].state.column("memory"), memory)


def trained(detector, **options):
    """An objective in mid-epoch 2 of filtering, and its memories from before that epoch; sample 8 was never seen."""
    objective = make("sogclr", detector, **{**MEMORY[detector], **options})
    for epoch in range(3):
        memory = objective.detectors["image"].state.column("memory").clone()
        for seed in range(2):
            z, index = draw(seed=10 * epoch + seed)
            objective(*z, index % 8, epoch=epoch)
    return objective, memory


def test_ifnd():
    objective, memory = trained("ifnd")
    detector = objective.detectors["image"]
    seen = [i for i in range(SAMPLES) if memory[i].any()]
    accepted, labels = round(len(seen) * 0.9 * 2 / 3), []
    assert 0 < accepted < len(seen) and detector.computed == 2
    for run, number in enumerate((2, 3, 4)):
        centres, sure = kmeans(normalize(memory[seen], dim=1), number, seed=2000 + run), {}
        for i in seen:
            weights = [float((memory[i] / memory[i].norm() @ c / 0.1).exp()) for c in centres]
            sure[i] = max(weights) / sum(weights), weights.index(max(weights))
        chosen = sorted(sure, key=lambda i: sure[i][0], reverse=True)[:accepted]
        labels.append({i: sure[i][1] for i in chosen})
    for seed in range(95, 100):
        z, index = draw(seed=seed)
        found = dropped(objective, z, index, 2)
        for i, j in ((i, j) for i in range(6) for j in range(6) if j != i):
            a, b = int(index[i]), int(index[j])
            votes = sum(a in own and b in own and own[a] == own[b] for own in labels)
            assert found[:, i, :, j].all() == found[:, i, :, j].any() == (votes >= 2)
    assert found.any() and not found.all()


def test_kmeans():
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(60) % 5
    centres = normalize(torch.randn(5, 8, generator=generator, dtype=torch.float64), dim=1)
    points = normalize(centres[truth] + 0.05 * torch.randn(60, 8, generator=generator, dtype=torch.float64), dim=1)
    found = kmeans(points, 12, seed=3)
    own = (points @ found.T).argmax(1)
    for k in range(12):
        torch.testing.assert_close(found[k], normalize(points[own == k].sum(0), dim=0))
        assert len(truth[own == k].unique()) == 1
    assert torch.equal(found, kmeans(points, 12, seed=3)) and not torch.equal(found, kmeans(points, 12, seed=4))
    assert kmeans(points[:1].expand(4, 8), 3, seed=0).isfinite().all(), "equal points leave clusters empty"


@pytest.mark.parametrize("scope", ["sample", "global"])
@pytest.mark.parametrize(("candidates", "alpha"), [(None, 0.3), (6, 0.3), (None, 0.9)])
def test_memory_quantile(scope, candidates, alpha):
    objective, memory = trained("memory-quantile", scope=scope, candidates=candidates, alpha=alpha)
    detector = objective.detectors["image"]
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(2)).tolist()
    seen = [i for i in range(SAMPLES) if memory[i].any()]
    others = [i for i in order[:candidates] if i in seen]
    cosine = [[float(x @ y / (x.norm() * y.norm() or 1)) for y in memory] for x in memory]
    if scope == "sample":
        rows = [[cosine[i][j] for j in others if j != i] for i in range(SAMPLES)]
        expected = [float(torch.tensor(row, dtype=torch.float64).quantile(1 - alpha)) for row in rows]
        expected = [value if i in seen else 1.0 for i, value in enumerate(expected)]
    else:
        pairs = torch.tensor([cosine[i][j] for i, j in combinations(others, 2)], dtype=torch.float64)
        expected = float(pairs.quantile(1 - alpha))
    torch.testing.assert_close(detector.thresholds, torch.tensor(expected, dtype=torch.float64))
    # Judged by the averages as they are now, against the thresholds from the start of the epoch.
    now, bounds = detector.state.column("memory"), detector.thresholds.expand(SAMPLES).tolist()
    z, index = draw(seed=98)
    assert 8 in index
    found = dropped(objective, z, index, 2)
    for i, j in ((i, j) for i in range(6) for j in range(6) if j != i):
        a, b = now[index[i]], now[index[j]]
        similar = bool(a.any() and b.any() and a @ b / a.norm() / b.norm() > bounds[index[i]])
        assert found[:, i, :, j].all() == found[:, i, :, j].any() == similar
    assert found.any() and not found.all()


@pytest.mark.parametrize("alpha", [0.003, 0.1, 0.9])
def test_quantiles_over_many_tiles(monkeypatch, alpha):
    monkeypatch.setattr("glofnd.detectors.memory_quantile.TILE", 500)
    memory = normalize(torch.randn(80, 5, generator=torch.Generator().manual_seed(0)).double(), dim=1)
    pairs, off = memory @ memory.T, ~torch.eye(80, dtype=torch.bool)
    exact = {
        "sample": pairs[off].view(80, 79).quantile(1 - alpha, dim=1),
        "global": pairs[off.triu()].quantile(1 - alpha),
    }
    for scope, expected in exact.items():
        detector = MemoryQuantile(80, 5, alpha=alpha, scope=scope).double()
        detector.state.fill("memory", memory)
        detector.begin_epoch(3)
        torch.testing.assert_close(detector.thresholds, expected)


CASES = [("fnc", {"top_k": 3}), *MEMORY.items(), ("memory-quantile", {"scope": "global"})]
TWO = ("memory-quantile", {"alpha": 0.6, "attract_alpha": 0.2})
TREATED = [(*case, treatment) for case in CASES for treatment in ("eliminate", "attract")] + [(*TWO, "attract")]


def test_the_surest_become_positives_and_the_rest_is_dropped():
    """SimCLR anchor by anchor, with what lies above either threshold."""
    objective = make("simclr", TWO[0], "attract", **TWO[1])
    for epoch in range(3):
        z, index = draw(seed=epoch)
        objective(*z, index, epoch=epoch)
    state, tau = objective.detectors["image"].state, objective.temperature["image"].double()
    memory = normalize(state.column("memory")[index], dim=1)
    found, sure = (memory @ memory.T > state.column(key)[index].unsqueeze(1) for key in ("threshold", "sure"))
    assert (sure & found).any() and (found & ~sure & ~torch.eye(6, dtype=torch.bool)).any()
    both, expected = torch.cat(unit(z)), 0.0
    for row in range(12):
        i, s = row % 6, both @ both[row]
        rest = torch.arange(12) % 6 != i
        keep, extra = (rest & mask.repeat(2) for mask in (~found[i], sure[i]))
        p, n = s[(row + 6) % 12], rest.sum() / keep.sum()
        align = torch.stack([p, *s[extra]]).mean()
        expected = expected + ((p / tau).exp() + n * (s[keep] / tau).exp().sum()).log() - align / tau
    objective.eval()
    torch.testing.assert_close(objective(*z, index, epoch=2), expected / 6, check_dtype=False)


@pytest.mark.parametrize(("detector", "options", "treatment"), TREATED)
@pytest.mark.parametrize("name", ["simclr", "clip"])
def test_gradients_and_unchanged_state_in_evaluation(name, detector, options, treatment):
    objective = make(name, detector, treatment, **options)
    for epoch in range(3):
        z, index = draw(seed=epoch)
        objective(*z, index, epoch=epoch)
    assert dropped(objective, z, index, 2).any()
    before = snapshot(objective)
    objective.eval()
    assert torch.autograd.gradcheck(lambda *pair: objective(*pair, index, epoch=2), z, fast_mode=True)
    objective(*z, index, epoch=7)
    assert same_state(objective, before)


@pytest.mark.parametrize(("detector", "options", "treatment"), TREATED[2:])
def test_resumed_within_an_epoch(detector, options, treatment):
    """Nothing is computed anew there: memories have changed since the epoch began."""
    whole, parts = make("clip", detector, treatment, **options), make("clip", detector, treatment, **options)
    for step in range(6):
        z, index = draw(seed=step)
        losses = [objective(*z, index, epoch=step // 2) for objective in (whole, parts)]
        assert torch.equal(*losses)
        stored, parts = parts.state_dict(), make("clip", detector, treatment, **options)
        parts.load_state_dict(stored)
    assert same_state(whole, parts.state_dict())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FNC(5, top_k=None, threshold=None), "top_k: give it, threshold, or both"),
        (lambda: FNC(5, aggregate="median"), "aggregate must be one of max, mean"),
        (lambda: IFND(5, 4, clusters=[2, 6]), r"clusters: 6 of 5 samples"),
        (lambda: IFND(5, 4, clusters=[]), "clusters: "),
        (lambda: IFND(5, 4, clusters=[1, 3]), "clusters must be >= 2, not 1"),
        (lambda: MemoryQuantile(5, 4, attract_alpha=0.01), "attract_alpha: needs treatment attract"),
        (lambda: MemoryQuantile(5, 0), "dim must be at least 1"),
        (lambda: make("sogclr", "ifnd", start_update=3), r"start_filter \(1\) must not come before start_update"),
    ],
)
def test_what_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(("candidates", "refused"), [(None, True), (3, False)])
def test_what_cannot_be_sharded(monkeypatch, candidates, refused):
    class OneRank:
        rank, size = 0, 1

    monkeypatch.setattr("glofnd.objectives.objective.Ranks", lambda group: OneRank)
    objective = SogCLR(5, detector=MemoryQuantile(5, 4, candidates=candidates))
    if refused:
        with pytest.raises(ValueError, match=r"layout 'sharded': memory-quantile without .* take 'replicated'"):
            objective.distribute(layout="sharded")
    objective.distribute(layout="replicated" if refused else "sharded")
