import json
from dataclasses import MISSING, fields

import pytest

from evaluation.registry import EVALUATIONS, required
from evaluation.tasks import TaskError, parse_task, parse_tasks
from glofnd.registry import load


@pytest.mark.parametrize("name", EVALUATIONS)
def test_every_entry_matches_the_class_it_names(name):
    entry = EVALUATIONS[name]
    declared = {
        field.name: list(field.default) if isinstance(field.default, tuple) else field.default
        for field in fields(load(entry))
    }
    registered = {key: schema.get("default", MISSING) for key, schema in entry.parameters.items()}
    assert declared == registered
    assert required(name) == [key for key, default in declared.items() if default is MISSING]


def test_defaults_are_filled_in():
    task = parse_task("linear", {"dataset": "digits"})
    assert (task.train, task.test, task.label, task.fractions) == ("train", "test", "label", (1, 0.1, 0.01, 0.001))


@pytest.mark.parametrize(
    ("evaluation", "task", "message"),
    [
        ("linear", {"dataset": "d", "fraction": [1]}, "unknown key 'fraction'; did you mean 'fractions'"),
        ("linear", {}, "key 'dataset' is missing"),
        ("linear", {"dataset": 3}, "dataset must be of type string, got 3"),
        ("linear", {"dataset": "d", "fractions": [1, 2]}, r"each must be in \(0, 1\]"),
        ("linear", {"dataset": "d", "fractions": []}, "fractions: needs at least one"),
        ("linear", {"dataset": "d", "fractions": [0.1, 0.1]}, "names one twice"),
        ("linear", {"dataset": "d", "draws": [1, True, 1, 1]}, "draws must be of type array"),
        ("linear", {"dataset": "d", "draws": [1]}, "one positive number per fraction"),
        ("linear", {"dataset": "d", "metric": "auc"}, "'auc' is not one of top1, mean-per-class"),
        ("transfer", {"dataset": "d", "test": "train"}, "is the split that is trained on"),
        ("zero-shot", {"dataset": "d", "among": "some"}, "'some' is not one of present, all"),
        ("retrieval", {"dataset": "d", "ks": [0]}, "needs positive ranks"),
        ("discovery", {"dataset": "d", "found": 0}, "found: must be at least 1"),
        ("discovery", [], "a task is a JSON object, got list"),
    ],
)
def test_wrong_tasks_are_refused(evaluation, task, message):
    with pytest.raises(TaskError, match=message):
        parse_task(evaluation, task)


def test_tasks_come_as_json_list_or_file(tmp_path):
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"dataset": "c"}))
    found = parse_tasks("transfer", ['{"dataset": "a"}', '[{"dataset": "b"}]', str(path)])
    assert [task.dataset for task in found] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid JSON"), ("nowhere.json", "neither JSON nor a readable")]
)
def test_unreadable_tasks(text, message):
    with pytest.raises(TaskError, match=message):
        parse_tasks("transfer", [text])
