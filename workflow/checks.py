"""What a schema cannot say about a config: one key against another, and against what the data sets have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.naming import TaskNameError, suffixes
from evaluation.prompts import template_names
from evaluation.registry import EVALUATIONS, PAPER_EPOCHS
from glofnd.data.catalogue import DATASETS, Dataset, configured
from workflow.schema import nearest
from workflow.vocabulary import PAPER

__all__ = ["contradictions"]

Config = dict[str, Any]
Check = Callable[[], Iterator[str]]

RESERVED = {"baseline": "objectives", "trunk": "detectors"}
"""Labels that would collide with a folder of ours."""


def _paths(config: Config) -> Iterator[str]:
    seen: dict[Path, str] = {}
    for key, value in config["paths"].items():
        place = Path(value).absolute()
        if place in seen:
            yield f"paths.{key}: {value!r} is also paths.{seen[place]}; each needs a folder of its own"
        seen[place] = key


def _seeds(config: Config) -> Iterator[str]:
    seeds = config["seeds"]
    if config["significance"] is not None and len(seeds) < 2:
        yield (
            f"seeds: significance needs at least 2 seeds, there {'is' if len(seeds) == 1 else 'are'} {len(seeds)}; "
            "add a seed or set significance: null"
        )


def _tuning(config: Config) -> Iterator[str]:
    both = [str(seed) for seed in config["seeds"] if seed in config["tuning_seeds"]]
    if both:
        yield f"tuning_seeds: {', '.join(both)} would be reported too; report seeds that nothing was chosen on"


def _primary(config: Config) -> Iterator[str]:
    """Means over all main metrics would mix two protocols of one evaluation."""
    named = [] if config["significance"] is None else config["significance"]["primary"]
    for ours, theirs in PAPER.items():
        if {ours, theirs} <= set(named):
            yield (
                f"significance.primary: {ours} and {theirs} are one question under two protocols, whose results must "
                "not be averaged; name one"
            )


def _plan(config: Config) -> Iterator[str]:
    known = {"images_per_second": list(config["experiments"]), "minutes": ["features", *EVALUATIONS]}
    for key, names in known.items():
        for name in config["plan"][key]:
            if name not in names:
                yield f"plan.{key}.{name}: unknown; {nearest(name, names)}"


def _resources(config: Config) -> Iterator[str]:
    for rule, asked in config["resources"].items():
        for key in ("mem_mb", "runtime"):
            most = asked[f"{key}_max"]
            if most is not None and most < asked[key]:
                yield f"resources.{rule}.{key}_max: {most} is less than {key}, {asked[key]} of the first attempt"


def _significance_baseline(config: Config, name: str) -> Iterator[str]:
    detectors = list(config["experiments"][name]["detectors"])
    asked = config["significance"]
    if asked is None:
        return
    if not set(detectors) - {asked["baseline"]}:
        yield (
            f"experiments.{name}.detectors: nothing to compare with {asked['baseline']!r}; "
            "add a detector or set significance: null"
        )
    elif asked["baseline"] not in detectors:
        yield (
            f"significance.baseline: experiment {name} has no detector {asked['baseline']!r}; "
            f"{nearest(asked['baseline'], detectors)}"
        )


def _files(config: Config, label: str) -> Iterator[str]:
    """A user's own files must be there before anything starts."""
    block = config["datasets"][label]
    obtain = _entry(config, label).obtain
    for key, advice in (("path", obtain and f"; {obtain}"), ("class_list", "")):
        value = block.get(key)
        if value and not Path(value).exists():
            yield f"datasets.{label}.{key}: {value!r} does not exist{advice}"


def _entry(config: Config, label: str) -> Dataset:
    block = config["datasets"][label]
    return configured(DATASETS[block["dataset"]], block)


def _reference(config: Config, where: str, dataset: str, splits: dict[str, str], label: str | None) -> Iterator[str]:
    """A data set of the config, splits it has and a label field it has; `splits` maps the key to the split."""
    if dataset not in config["datasets"]:
        yield f"{where}.dataset: {dataset!r} is not in datasets; {nearest(dataset, list(config['datasets']))}"
        return
    entry = _entry(config, dataset)
    for key, split in splits.items():
        if split not in entry.splits:
            yield f"{where}.{key}: data set {dataset} has no split {split!r}; {nearest(split, entry.splits)}"
    if label is not None and label not in entry.labels:
        yield f"{where}.label: data set {dataset} has no label {label!r}; {nearest(label, entry.labels)}"


def _training_data(config: Config, name: str) -> Iterator[str]:
    experiment, where = config["experiments"][name], f"experiments.{name}"
    dataset, split = experiment["dataset"], experiment["split"]
    yield from _reference(config, where, dataset, {"split": split}, experiment["label"])
    if dataset not in config["datasets"]:
        return
    if experiment["modality"] == "bimodal" and not _entry(config, dataset).captions:
        captioned = [key for key in config["datasets"] if _entry(config, key).captions]
        yield f"{where}.dataset: a bimodal experiment needs captions, {dataset} has none; {nearest(dataset, captioned)}"
    samples = config["datasets"][dataset].get(f"{split}_samples")
    batch = experiment["training"]["batch_size"]
    if samples is not None and batch > samples:
        yield f"{where}.training.batch_size: {batch} is more than the {samples} samples of {dataset}/{split}"


def _schedule(config: Config, name: str) -> Iterator[str]:
    training = config["experiments"][name]["training"]
    if training["warmup_epochs"] > training["epochs"]:
        yield (
            f"experiments.{name}.training.warmup_epochs: {training['warmup_epochs']} is more than "
            f"training.epochs {training['epochs']}"
        )


def _ranks(config: Config, name: str) -> Iterator[str]:
    asked, training = config["resources"]["pretrain"], config["experiments"][name]["training"]
    each, batch = asked["processes"] or max(asked["gpu"], 1), training["batch_size"]
    processes = asked["nodes"] * each
    if 0 < asked["gpu"] < each and training["device"] != "cpu":
        yield (
            f"resources.pretrain.processes: {each} on each node need as many GPUs, gpu is {asked['gpu']}; raise gpu, "
            f"take fewer processes, or set experiments.{name}.training.device: cpu"
        )
    if batch % processes:
        yield (
            f"experiments.{name}.training.batch_size: {batch} cannot be split evenly among the {processes} processes "
            "of a training; take a multiple, or change nodes, processes or gpu of resources.pretrain"
        )


def _views(config: Config, name: str) -> Iterator[str]:
    for key, value in config["experiments"][name]["views"].items():
        match value:
            case [int() | float() as low, int() | float() as high] if low > high:
                yield f"experiments.{name}.views.{key}: {value} runs from the larger to the smaller number; swap them"


def _detector(config: Config, name: str, label: str) -> Iterator[str]:
    experiment, where = config["experiments"][name], f"experiments.{name}.detectors.{label}"
    detector, epochs = experiment["detectors"][label], experiment["training"]["epochs"]
    for key in ("start_update", "start_filter"):
        if key in detector and detector[key] >= epochs:
            yield (
                f"{where}.{key}: epoch {detector[key]} never comes; training has {epochs} epochs, "
                f"so it must be below {epochs}"
            )
    update, filtering = detector.get("start_update"), detector.get("start_filter")
    if update is not None and filtering is not None and filtering < update:
        yield (
            f"{where}.start_filter: {filtering} is before start_update {update}; "
            "thresholds must learn before they filter, so raise start_filter or lower start_update"
        )


def _learner(config: Config, name: str, label: str) -> Iterator[str]:
    """Options that only one learner of thresholds has."""
    detector = config["experiments"][name]["detectors"][label]
    if detector.get("learner") != "moments":
        return
    descent = {"init": "one", "normalize_gradient": False, "clip": None}
    for key in (key for key, default in descent.items() if detector[key] != default):
        yield (
            f"experiments.{name}.detectors.{label}.{key}: learner 'moments' has no such option; leave it out, or take "
            "learner adam or sgd"
        )


def _labels(config: Config, name: str) -> Iterator[str]:
    for label, group in RESERVED.items():
        if label in config["experiments"][name][group]:
            yield f"experiments.{name}.{group}.{label}: {label!r} names a folder of results; choose another label"


def _options(config: Config, name: str, evaluation: str, where: str, task: Config) -> Iterator[str]:
    """Options of one task that would fail only after the training."""
    together = task.get("together")
    if together is not None and task["dataset"] in config["datasets"]:
        labels = _entry(config, task["dataset"]).labels
        if together not in labels:
            yield f"{where}.together: data set {task['dataset']} has no label {together!r}; {nearest(together, labels)}"
    fractions = task.get("fractions", [])
    for key in ("draws", "epochs"):
        if task.get(key) is not None and len(task[key]) < len(fractions):
            yield f"{where}.{key}: needs one number for each of the {len(fractions)} fractions, has {len(task[key])}"
    if evaluation == "linear-paper" and task["epochs"] is None:
        for fraction in (fraction for fraction in fractions if fraction not in PAPER_EPOCHS):
            yield f"{where}.epochs: the paper has none for a share of {fraction:g}; give one for each fraction"
    if len(set(fractions)) < len(fractions):
        yield f"{where}.fractions: the same share stands there twice"
    if "templates" in task and task["templates"] not in template_names():
        yield f"{where}.templates: no file {task['templates']!r}; {nearest(task['templates'], template_names())}"
    trained = {key: config["experiments"][name][key] for key in ("dataset", "split")}
    if evaluation == "discovery" and {key: task[key] for key in trained} != trained:
        asked = f"{task['dataset']}/{task['split']}"
        yield f"{where}: discovery looks at what was trained on, {trained['dataset']}/{trained['split']}, not {asked}"


def _seen(config: Config, name: str, evaluation: str, where: str, task: Config) -> Iterator[str]:
    """A test on the pictures that the encoder itself was trained on, labels or not, is no test."""
    key = "test" if "test" in task else "split"
    trained, tested = config["experiments"][name], (task["dataset"], task[key])
    seen = tested == (trained["dataset"], trained["split"]) and task.get("train") != task[key]
    if seen and evaluation != "discovery":
        yield (
            f"{where}.{key}: experiment {name} trains its encoders on {'/'.join(tested)}; a test must see new pictures"
        )


def _tasks(config: Config, name: str, evaluation: str) -> Iterator[str]:
    tasks = config["experiments"][name]["evaluations"][evaluation]
    try:
        suffixes(tasks)
    except TaskNameError as error:
        yield f"experiments.{name}.evaluations.{evaluation}[{error.position}]: {error}"
    for position, task in enumerate(tasks):
        where = f"experiments.{name}.evaluations.{evaluation}[{position}]"
        splits = {key: task[key] for key in ("train", "test", "split") if key in task}
        yield from _reference(config, where, task["dataset"], splits, task.get("label"))
        yield from _options(config, name, evaluation, where, task)
        if "train" in task and task["train"] == task["test"]:
            yield f"{where}.test: {task['test']!r} is also the training split; a test must see new pictures"
        yield from _seen(config, name, evaluation, where, task)
        known = task["dataset"] in config["datasets"]
        if evaluation == "retrieval" and known and not _entry(config, task["dataset"]).captions:
            yield f"{where}.dataset: retrieval needs captions, {task['dataset']} has none"


def contradictions(config: Config, already_broken: bool, files: bool = True) -> list[str]:
    """Every problem between keys, one line each.

    Args:
        config: with defaults filled in.
        already_broken: the schema has found problems; then a part may lack what a check needs, and that check is left
            out (its part is named by the schema's message already).
        files: also look whether the user's own files are there.
    """
    checks: list[Check] = [partial(check, config) for check in (_paths, _seeds, _tuning, _primary, _plan, _resources)]
    checks += [partial(_files, config, label) for label in _keys(config.get("datasets")) if files]
    for name in _keys(config.get("experiments")):
        experiment = config["experiments"][name]
        if not isinstance(experiment, dict):
            continue
        checks += [
            partial(check, config, name)
            for check in (_training_data, _schedule, _ranks, _views, _labels, _significance_baseline)
        ]
        for label in _keys(experiment.get("detectors")):
            checks += [partial(_detector, config, name, label), partial(_learner, config, name, label)]
        checks += [partial(_tasks, config, name, label) for label in _keys(experiment.get("evaluations"))]
    found: list[str] = []
    for check in checks:
        try:
            found += check()
        except (LookupError, TypeError, AttributeError, ValueError):
            if not already_broken:
                raise
    return found


def _keys(value: object) -> list[str]:
    return list(value) if isinstance(value, dict) else []
