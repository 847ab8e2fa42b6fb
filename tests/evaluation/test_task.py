import pytest

from evaluation import EVALUATIONS
from evaluation.task import suffixes
from glofnd.parameters import parameters


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_data_set_is_all_that_a_task_needs_and_every_parameter_is_described(name):
    kind = EVALUATIONS[name].task
    assert kind(dataset="digits").dataset == "digits"
    assert list(parameters(kind)) == list(kind.__dataclass_fields__)


@pytest.mark.parametrize(
    ("evaluation", "task"),
    [
        ("linear", {"fractions": [1, 2]}),
        ("linear", {"fractions": []}),
        ("linear", {"fractions": [0.1, 0.1]}),
        ("linear", {"draws": [1]}),
        ("linear", {"metric": "auc"}),
        ("linear-paper", {"epochs": None, "fractions": [0.5]}),
        ("transfer", {"test": "train"}),
        ("zero-shot", {"among": "some"}),
        ("zero-shot", {"templates": "plane"}),
        ("retrieval", {"ks": [0]}),
        ("discovery", {"found": 0}),
    ],
)
def test_wrong_tasks_are_refused_with_the_key(evaluation, task):
    with pytest.raises(ValueError, match=next(iter(task))):
        EVALUATIONS[evaluation].task(dataset="d", **task)


def test_no_two_results_share_a_name():
    def task(**options):
        return EVALUATIONS["linear"].task(**options)

    group, far = task(dataset="a", label="group"), task(dataset="a", test="far")
    assert suffixes([task(dataset="a"), group, far, task(dataset="b")]) == ["", "@group", "", ""]
    with pytest.raises(ValueError, match="a/test"):
        suffixes([task(dataset="a"), task(dataset="a", metric="mean-per-class")])
