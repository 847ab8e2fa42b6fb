import dataclasses

import pytest

from glofnd.encoders import ENCODERS
from glofnd.parameters import parameters
from glofnd.pretraining.options import EXECUTION, TrainingOptions
from glofnd.registry import ENCODERS as OLD_ENCODERS
from glofnd.registry import TRAINING, VIEWS
from glofnd.views import TwoViews


def test_options_are_declared_and_checked():
    assert set(EXECUTION) < set(parameters(TrainingOptions))
    assert all(field.name in parameters(TrainingOptions) for field in dataclasses.fields(TrainingOptions))
    with pytest.raises(ValueError, match="precision must be one of fp32, bf16, not 'fp16'"):
        TrainingOptions(precision="fp16")


def test_defaults_are_those_of_before():
    old = [(TrainingOptions, TRAINING), (TwoViews, VIEWS)]
    old += [(ENCODERS[name], entry.parameters) for name, entry in OLD_ENCODERS.items()]
    for target, schemas in old:
        declared = {name: parameter.default for name, parameter in parameters(target).items()}
        defaults = {name: schema["default"] for name, schema in schemas.items()}
        as_lists = {name: list(value) if isinstance(value, tuple) else value for name, value in declared.items()}
        assert as_lists == defaults
