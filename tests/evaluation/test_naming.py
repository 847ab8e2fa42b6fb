import pytest

from evaluation.naming import TaskNameError, suffixes

TASK = {"dataset": "d", "split": "test", "label": "concept", "templates": "plain", "metric": "top1"}


def test_the_first_of_a_split_is_plain_and_the_others_say_how_they_differ():
    tasks = [
        TASK,
        {**TASK, "label": "group"},
        {**TASK, "templates": "photo"},
        {**TASK, "label": "group", "templates": "photo"},
        {**TASK, "split": "vendor", "label": "group"},
    ]
    assert suffixes(tasks) == ["", "@group", "@photo", "@group.photo", ""]


def test_probes_are_named_by_what_they_train_on():
    task = {"dataset": "d", "train": "train", "test": "test", "label": "label"}
    assert suffixes([task, {**task, "train": "extra"}]) == ["", "@extra"]


@pytest.mark.parametrize(
    ("tasks", "position", "message"),
    [
        ([TASK, TASK], 1, "the same task stands there twice"),
        (
            [TASK, {**TASK, "label": "group"}, {**TASK, "metric": "mean-per-class"}],
            2,
            r"differs from task \[0\] on d/test only in metric, which names no result; give them another label or tem",
        ),
        (
            [{"dataset": "d", "split": "test", "ks": [1]}, {"dataset": "d", "split": "test", "ks": [5]}],
            1,
            "only in ks, which names no result; leave one out",
        ),
    ],
)
def test_tasks_that_would_share_a_name_are_refused(tasks, position, message):
    with pytest.raises(TaskNameError, match=message) as refused:
        suffixes(tasks)
    assert refused.value.position == position
