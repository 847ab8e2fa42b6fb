"""The evaluation written down in docs/evaluation.md works as shown, copied literally."""

import re
import sys
import types
from pathlib import Path

from evaluation import EVALUATIONS, Evaluation, evaluate
from glofnd.files import read_json
from tests.evaluation.tiny_shards import baseline_config


def test_the_evaluation_of_the_page(shards, tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    source, entry = re.findall(r"```python\n(.*?)```", text, re.S)
    name = "evaluation.probing.nearest_mean"
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, name, "exec"), vars(module))
    (registered,) = eval(f"{{{entry}}}", {"Evaluation": Evaluation}).items()
    monkeypatch.setitem(EVALUATIONS, *registered)
    tasks = {"nearest-mean": [{"dataset": "tiny", "power": 0.5}]}
    evaluate(baseline_config("raw-pixels"), tasks, None, shards, tmp_path)
    metrics = read_json(tmp_path / "nearest-mean/metrics.json")["metrics"]
    assert metrics[0]["metric"] == "top1" and metrics[0]["value"] == 1, "four colours are easily told apart"
