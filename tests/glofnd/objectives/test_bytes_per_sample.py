import pytest

from glofnd import GloFND, LocationScale, registry
from glofnd.detectors import build_detector
from glofnd.objectives import build_objective

# float32: u (4), iSogCLR's temperature and velocity (8), once per modality.
OBJECTIVES = {"simclr": 0, "sogclr": 4, "isogclr": 12, "clip": 0, "fastclip-v1": 8, "fastclip-v2": 24, "fastclip-v3": 8}
LEARNERS = {"adam": 12, "sgd": 4}


@pytest.mark.parametrize("name", registry.OBJECTIVES)
def test_state_per_sample(name):
    modalities = 1 if "unimodal" in registry.OBJECTIVES[name].modalities else 2
    for learner, size in LEARNERS.items():
        objective = build_objective(name, 50, GloFND(50, learner=learner))
        assert objective.bytes_per_sample == OBJECTIVES[name] + modalities * size
    assert build_objective(name, 50, LocationScale(50)).bytes_per_sample == OBJECTIVES[name] + modalities * 16
    for detector in registry.DETECTORS.keys() - {"glofnd", "location-scale"}:
        assert build_objective(name, 50, build_detector(detector, 50)).bytes_per_sample == OBJECTIVES[name]


@pytest.mark.parametrize("name", registry.OBJECTIVES)
def test_nothing_else_grows_with_the_data_set(name):
    sizes = []
    for num_samples in (50, 100):
        objective = build_objective(name, num_samples, GloFND(num_samples))
        sizes.append(sum(value.numel() * value.element_size() for value in objective.state_dict().values()))
    assert sizes[1] - sizes[0] == 50 * objective.bytes_per_sample
