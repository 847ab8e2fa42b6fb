"""Properties that hold for every objective and detector, on drawn batches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glofnd import registry
from glofnd.detectors import build_detector
from glofnd.objectives import build_objective

SAMPLES = 9
LEARNED = ["glofnd", "location-scale", "global-threshold"]
drawn = settings(max_examples=12, deadline=None)
seeds = st.integers(0, 10_000)
sizes = st.integers(2, 8)
names = st.sampled_from(list(registry.OBJECTIVES))
treatments = st.sampled_from(["eliminate", "attract"])
learners = st.sampled_from(registry.DETECTORS["glofnd"].parameters["learner"]["enum"])


def detector_of(name, treatment="eliminate", learner="adam", **parameters):
    """The detector with what it has of these parameters; `adam` where it has no such learner."""
    known = registry.DETECTORS[name].parameters
    if "learner" in known:
        parameters["learner"] = learner if learner in known["learner"]["enum"] else "adam"
    return build_detector(
        name, SAMPLES, **{k: v for k, v in {**parameters, "treatment": treatment}.items() if k in known}
    )


def draw(size, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, size, 4, generator=generator, dtype=torch.float64)
    return [x.clone().requires_grad_() for x in z], torch.randperm(SAMPLES, generator=generator)[:size]


@pytest.mark.parametrize("detector", registry.DETECTORS)
@drawn
@given(name=names, size=sizes, seed=seeds, treatment=treatments, learner=learners)
def test_permuting_the_batch_permutes_the_result(detector, name, size, seed, treatment, learner):
    z, index = draw(size, seed)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed + 1))
    results = []
    for rows in (torch.arange(size), order):
        objective = build_objective(
            name, SAMPLES, detector_of(detector, treatment, learner, alpha=0.3, init="quantile")
        ).double()
        loss = 0.0
        for epoch in range(2):
            loss = loss + objective(*[x[rows] for x in z], index[rows], epoch=epoch, labels=index[rows] % 3)
        results.append((loss, torch.autograd.grad(loss, z), objective.state_dict()))
    (loss, gradients, state), (moved_loss, moved_gradients, moved_state) = results
    torch.testing.assert_close(loss, moved_loss, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradients, moved_gradients, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(state, moved_state, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("detector", ["glofnd", "global-threshold", "batch-quantile"])
@drawn
@given(name=names, size=sizes, seed=seeds, learner=learners)
def test_a_vanishing_alpha_keeps_everything(detector, name, size, seed, learner):
    z, index = draw(size, seed)
    losses = []
    for detector_name in (detector, "none"):
        # A quantile that is the row's own maximum drops nothing, since only what lies strictly above is dropped.
        objective = build_objective(name, SAMPLES, detector_of(detector_name, learner=learner, alpha=1e-12)).double()
        losses.append(sum(objective(*z, index, epoch=epoch) for epoch in range(2)))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("detector", registry.DETECTORS)
@drawn
@given(name=names, size=sizes, seed=seeds, learner=learners)
def test_scaling_and_rotating_the_embeddings_changes_nothing(detector, name, size, seed, learner):
    z, index = draw(size, seed)
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))
    scale = torch.rand(size, 1, generator=generator, dtype=torch.float64) + 0.5
    results = []
    for moved in (z, [x.detach() @ rotation * scale for x in z]):
        rule = detector_of(detector, learner=learner, alpha=0.37, init="quantile")
        objective = build_objective(name, SAMPLES, rule).double().eval()
        results.append(objective(*moved, index, epoch=1, labels=index % 3))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("detector", ["none", *LEARNED, "oracle"])
@drawn
@given(name=names, size=st.integers(2, 7), seed=seeds, learner=learners)
def test_adding_a_sample_with_constant_views_changes_nothing_it_should_not(detector, name, size, seed, learner):
    """What is found among the others and the state of who is absent; the new sample is orthogonal to all others."""
    z, index = draw(size + 1, seed)
    others, newcomer = index[:size], int(index[size])
    small = [torch.nn.functional.pad(x.detach()[:size], (0, 1)) for x in z]
    constant = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    large = [torch.cat([x, constant]) for x in small]
    objective = build_objective(name, SAMPLES, detector_of(detector, learner=learner, alpha=0.3)).double()
    for epoch in range(2):
        objective(*small, others, epoch=epoch, labels=others % 3)
    labels = torch.cat([others % 3, torch.tensor([3])])
    before, after = objective.inspect(*small, others, others % 3), objective.inspect(*large, index, labels)
    for modality, seen in after.items():
        rows, columns = seen.anchor != newcomer, seen.candidate != newcomer
        expected = before[modality]
        assert torch.equal(seen.dropped[rows][:, columns], expected.dropped)
        torch.testing.assert_close(seen.similarity[rows][:, columns], expected.similarity, rtol=0, atol=1e-12)
        if expected.threshold is not None:
            torch.testing.assert_close(seen.threshold[rows], expected.threshold, rtol=0, atol=0)
    absent = torch.ones(SAMPLES, dtype=torch.bool).scatter_(0, index, False)
    kept = {key: value.clone() for key, value in objective.state_dict().items() if value.shape == (SAMPLES,)}
    objective(*large, index, epoch=2, labels=labels)
    for key, value in kept.items():
        assert torch.equal(objective.state_dict()[key][absent], value[absent])


@pytest.mark.parametrize("detector", LEARNED)
@pytest.mark.parametrize("learner", ["adam", "sgd"])
@drawn
@given(seed=seeds, alpha=st.floats(0.001, 0.999), lr=st.floats(0.01, 10), clip=st.none() | st.floats(0.1, 10))
def test_thresholds_stay_in_range(detector, learner, seed, alpha, lr, clip):
    rule = detector_of(detector, alpha=alpha, lr=lr, clip=clip, learner=learner)
    objective = build_objective("sogclr", SAMPLES, rule).double()
    for epoch in range(6):
        z, index = draw(6, seed + epoch)
        objective(*z, index, epoch=epoch)
        assert rule.thresholds.abs().max() <= 1


@drawn
@given(name=names, size=st.integers(2, 8), seed=seeds, tile=st.integers(1, 9), treatment=treatments, learner=learners)
@pytest.mark.parametrize("detector", registry.DETECTORS)
def test_the_size_of_the_tiles_changes_nothing(detector, name, size, seed, tile, treatment, learner):
    z, index = draw(size, seed)
    results = []
    for rows in (tile, 100):
        objective = build_objective(
            name, SAMPLES, detector_of(detector, treatment, learner, alpha=0.3, init="quantile")
        ).double()
        objective.tile_size, objective.tile_rows = 0, rows
        objective.matrix_size = 0 if rows == tile else 2**22
        loss = sum(objective(*z, index, epoch=epoch, labels=index % 3) for epoch in range(2))
        results.append((loss, torch.autograd.grad(loss, z), dict(objective.state_dict())))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-11)
