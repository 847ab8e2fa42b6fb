"""Loss, gradients and all per-sample state against the plain reference, over several steps."""

import pytest
import torch

from glofnd import registry
from glofnd.detectors import build_detector
from glofnd.objectives import build_objective
from tests.glofnd.plain_reference import PlainDetector, PlainObjective

SAMPLES, BATCH, DIM = 11, 6, 4

DETECTORS = {
    "none": ("none", {}),
    "adam": ("glofnd", {"learner": "adam", "alpha": 0.3}),
    "adam-normalised-clipped": ("glofnd", {"learner": "adam", "alpha": 0.3, "normalize_gradient": True, "clip": 2.0}),
    "adam-late": ("glofnd", {"learner": "adam", "alpha": 0.3, "start_update": 1, "start_filter": 2}),
    "adam-quantile": ("glofnd", {"learner": "adam", "alpha": 0.3, "init": "quantile"}),
    "sgd": ("glofnd", {"alpha": 0.3, "learner": "sgd", "lr": 1.5}),
    "moments": ("location-scale", {"alpha": 0.3}),
    "global-adam": ("global-threshold", {"alpha": 0.3, "lr": 0.4}),
    "global-quantile": ("global-threshold", {"alpha": 0.3, "init": "quantile", "start_update": 1, "start_filter": 1}),
    "batch-quantile": ("batch-quantile", {"alpha": 0.3, "start_filter": 1}),
    "oracle": ("oracle", {}),
}
REFERENCE = {
    "isogclr": {"rho": 0.3, "temperature_lr": 0.01},
    "fastclip-v2": {"rho": 7.0, "temperature_lr": 0.01, "bounds": (0.01, 1.0)},
    "fastclip-v3": {"rho": 6.5},
}


def make_pair(objective_name, detector_name, treatment="eliminate"):
    method, parameters = DETECTORS[detector_name]
    if method != "none":
        parameters = {**parameters, "treatment": treatment}
    entry = registry.OBJECTIVES[objective_name]
    objective = build_objective(objective_name, SAMPLES, build_detector(method, SAMPLES, **parameters)).double()
    modalities = ("image",) if "unimodal" in entry.modalities else ("image", "text")
    detectors = {m: PlainDetector(method, **parameters) for m in modalities}
    temperature = entry.parameters["temperature"]["default"]
    # float32 initial values are not the float64 ones.
    for name, value in objective.named_buffers():
        if name.endswith("temperature"):
            value.fill_(temperature)
        if name.endswith("tail"):
            value.fill_(detectors["image"].tail)
    return objective, PlainObjective(objective_name, detectors, temperature, **REFERENCE.get(objective_name, {}))


def batches(steps, unique=False):
    """Clustered embeddings, so that thresholds matter; samples repeat between and, unless `unique`, within batches."""
    generator = torch.Generator().manual_seed(5)
    centres = torch.randn(3, DIM, generator=generator, dtype=torch.float64)
    for _ in range(steps):
        index = torch.randint(SAMPLES, (BATCH,), generator=generator)
        if unique:
            index = torch.randperm(SAMPLES, generator=generator)[:BATCH]
        noise = torch.randn(2, BATCH, DIM, generator=generator, dtype=torch.float64)
        z1, z2 = centres[index % 3] + 0.7 * noise
        yield z1.requires_grad_(), z2.requires_grad_(), index, index % 3


def tracked_temperature(objective, plain):
    """Parameter of the objective and the tensor the reference uses in its place, where one is learned."""
    if plain.name == "clip":
        scale = objective.logit_scale.detach().clone().requires_grad_()
        plain.temperature = (-scale).exp()
        return objective.logit_scale, scale
    if plain.name == "fastclip-v3":
        plain.temperature = objective.temperature.detach().clone().requires_grad_()
        return objective.temperature, plain.temperature
    return None, None


def assert_same_state(objective, plain):
    close = {"rtol": 1e-9, "atol": 1e-12}
    for modality, reference in plain.detectors.items():
        detector = objective.detectors[modality]
        names = {"glofnd": ("threshold", "m", "v"), "global-threshold": ("threshold", "m", "v")}.get(reference.name, ())
        if reference.name == "location-scale":
            names = ("mean", "std", "residual", "visits")
            torch.testing.assert_close(float(detector.tail), reference.tail, **close)
        for name in names:
            if reference.learner == "sgd" and name != "threshold":
                continue
            expected = getattr(reference, name)
            if reference.name == "global-threshold":
                torch.testing.assert_close(float(detector.get_buffer(name)), expected[0], **close)
            else:
                column = detector.state.column(name)
                torch.testing.assert_close(column.tolist(), [expected[i] for i in range(SAMPLES)], **close)
        state = objective.state[modality] if len(plain.detectors) == 2 and hasattr(objective, "state") else None
        state = state if state is not None else getattr(objective, "state", None)
        if state is not None:
            expected = [plain.u[modality].get(i, 0.0) for i in range(SAMPLES)]
            torch.testing.assert_close(state.column("log_u").exp().tolist(), expected, **close)
            if "temperature" in state.columns:
                expected = [plain.tau[modality][i] for i in range(SAMPLES)]
                torch.testing.assert_close(state.column("temperature").tolist(), expected, **close)


@pytest.mark.parametrize("treatment", ["eliminate", "attract"])
@pytest.mark.parametrize("detector_name", DETECTORS)
@pytest.mark.parametrize("objective_name", registry.OBJECTIVES)
def test_equals_plain_reference(objective_name, detector_name, treatment):
    objective, plain = make_pair(objective_name, detector_name, treatment)
    for epoch, (z1, z2, index, labels) in enumerate(batches(5)):
        parameter, mirror = tracked_temperature(objective, plain)
        leaves = [z1, z2, *([] if parameter is None else [parameter])]
        mirrors = [z1, z2, *([] if mirror is None else [mirror])]
        loss = objective(z1, z2, index, epoch=epoch, labels=labels)
        expected = plain.loss(z1, z2, index, epoch, labels)
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
        gradients = torch.autograd.grad(loss, leaves)
        for got, want in zip(gradients, torch.autograd.grad(expected, mirrors, allow_unused=True), strict=True):
            torch.testing.assert_close(got, torch.zeros_like(got) if want is None else want, rtol=1e-9, atol=1e-12)
        assert_same_state(objective, plain)


def test_the_cases_do_drop_something():
    for name in DETECTORS.keys() - {"none"}:
        objective, _ = make_pair("sogclr", name)
        share = 0.0
        for epoch, (z1, z2, index, labels) in enumerate(batches(5)):
            objective(z1, z2, index, epoch=epoch, labels=labels)
            seen = objective.inspect(z1, z2, index, labels, epoch)["image"]
            share += float((seen.dropped & seen.negative).sum() / seen.negative.sum()) / 5
        assert 0 < share < 0.9, name
