"""One key of a config against another, and against what the data sets have: mistakes that would show only in a job."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from evaluation import EVALUATIONS
from evaluation.task import suffixes
from glofnd.clip_models import model_config, model_names, own_tokens, takes_size
from glofnd.objectives import OBJECTIVES
from workflow import declared
from workflow.config import PAPER, dataset_of, nearest
from workflow.grid import BASELINE

__all__ = ["contradictions"]

Config = dict[str, Any]


def contradictions(config: Config, broken: set[tuple[str, ...]], files: bool) -> Iterator[str]:
    """One line for each problem between keys of a config with all defaults.

    Args:
        config: resolved; what is broken is missing.
        broken: sections, data sets and experiments that have problems already.
        files: also look whether the user's own files are there.
    """
    for name in config["experiments"]:
        yield from _experiment(config, name, {path[1] for path in broken if path[0] == "datasets" and len(path) > 1})
    if files and "paths" in config:
        yield from _files(config)
    if {"paths", "seeds", "tuning_seeds", "significance", "plan", "resources"} <= config.keys():
        yield from _together(config, {path[1] for path in broken if path[0] == "experiments" and len(path) > 1})


def _experiment(config: Config, name: str, unknown: set[str]) -> Iterator[str]:
    experiment, where = config["experiments"][name], f"experiments.{name}"
    modality, training = experiment["modality"], experiment["training"]
    for group, registry in (("objectives", "objectives"), ("rivals", "objectives"), ("detectors", "detectors")):
        known = declared.entries(registry)
        for label, block in experiment[group].items():
            if modality not in known[block["method"]].modalities:
                fitting = [key for key, entry in known.items() if modality in entry.modalities]
                what = f"{block['method']} is not for {modality} experiments"
                yield f"{where}.{group}.{label}: {what}; {nearest('', fitting)}"
    for objective in filter(_without_negatives, experiment["objectives"].values()):
        for label, block in experiment["detectors"].items():
            if block["method"] != "none":
                what = f"{objective['method']} has no negatives, so {block['method']} has nothing to drop"
                yield f"{where}.detectors.{label}: {what}; put {objective['method']} below `rivals`"
    for label in experiment["rivals"]:
        if label in experiment["objectives"] or label in experiment["detectors"]:
            yield f"{where}.rivals.{label}: is an objective's or detector's label, too; one of them needs another"
    for label, group in ((BASELINE, "objectives"), (BASELINE, "rivals"), ("trunk", "detectors")):
        if label in experiment[group]:
            yield f"{where}.{group}.{label}: '{label}' names a folder of results; choose another label"
    for label in experiment["models"]:
        if label in (*experiment["detectors"], *experiment["rivals"], "raw-pixels", "random-init"):
            yield f"{where}.models.{label}: names a detector, rival or baseline, too; one of them needs another label"
    if experiment["init_from"] and "{seed}" in (experiment["init_from"]["weights"] or ""):
        yield f"{where}.init_from.weights: all seeds start from one file; leave {{seed}} out"
    if training["warmup_epochs"] > training["epochs"]:
        yield f"{where}.training.warmup_epochs: {training['warmup_epochs']} is more than epochs, {training['epochs']}"
    for label, block in experiment["detectors"].items():
        yield from _detector(f"{where}.detectors.{label}", block, training)
    yield from _encoder(config, name)
    if experiment["dataset"] not in unknown:
        yield from _training_data(config, name)
    yield from _evaluations(config, name, unknown)


def _without_negatives(block: Config) -> bool:
    return not OBJECTIVES[block["method"]].uses_negatives


def _detector(where: str, block: Config, training: Config) -> Iterator[str]:
    """A detector's epochs come; its state may lie where the training wants it."""
    epochs, why = training["epochs"], declared.detector(**block).unshared
    if training["state_layout"] == "sharded" and why is not None:
        yield f"{where}: {why}, which training.state_layout sharded has no room for; take replicated"
    for key in ("start_update", "start_filter"):
        if block.get(key, 0) >= epochs:
            yield f"{where}.{key}: epoch {block[key]} never comes; training has {epochs} epochs, take less"


def _encoder(config: Config, name: str) -> Iterator[str]:
    """An encoder for the modality; a model of open_clip that there is, for pictures of the size it is made for."""
    experiment, where = config["experiments"][name], f"experiments.{name}.encoder"
    block, modality = experiment["encoder"], experiment["modality"]
    if modality not in declared.entries("encoders")[block["name"]].modalities:
        fitting = [key for key, entry in declared.entries("encoders").items() if modality in entry.modalities]
        yield f"{where}.name: {block['name']} is not for {modality} experiments; {nearest('', fitting)}"
    size, key = experiment["views"]["size"], f"experiments.{name}.views.size"
    if not size:
        size = config["datasets"].get(experiment["dataset"], {}).get("image_size")
        key = f"datasets.{experiment['dataset']}.image_size"
    if block["name"] != "open-clip":
        if size and block["name"] in ("timm", "torchvision"):
            try:
                declared.encoder(size=size, **block)
            except ValueError as error:
                yield f"{key}: {block['model']} of experiment {name} {error}; set it, or {where}.options"
        return
    found = model_config(block["model"])
    if found is None or not own_tokens(found):
        why = "open_clip has no model" if found is None else "a tokenizer from the Hugging Face hub is needed for"
        yield f"{where}.model: {why} '{block['model']}'; {nearest(block['model'], model_names())}"
    elif size and not takes_size(found, size):
        wanted = found["vision_cfg"].get("image_size", 224)
        yield f"{key}: {block['model']} of experiment {name} takes pictures of {wanted} pixels a side, not {size}"


def _reference(config: Config, where: str, dataset: str, splits: Config, labels: Config) -> Iterator[str]:
    """A data set of the config, splits it has and label fields it has; both map the key to what stands there."""
    entry = dataset_of(config["datasets"], dataset) if dataset in config["datasets"] else None
    if entry is None:
        yield f"{where}.dataset: '{dataset}' is not in datasets; {nearest(dataset, list(config['datasets']))}"
        return
    for names, known, what in ((splits, entry.splits, "split"), (labels, entry.labels, "label")):
        for key, value in names.items():
            if value not in known:
                yield f"{where}.{key}: data set {dataset} has no {what} '{value}'; {nearest(value, known)}"


def _training_data(config: Config, name: str) -> Iterator[str]:
    """What an experiment trains on, and whether its processes can share a batch of it."""
    experiment, where = config["experiments"][name], f"experiments.{name}"
    dataset, split, batch = experiment["dataset"], experiment["split"], experiment["training"]["batch_size"]
    entry = dataset_of(config["datasets"], dataset) if dataset in config["datasets"] else None
    labels = {"label": experiment["label"]} if entry is None or entry.labels else {}
    yield from _reference(config, where, dataset, {"split": split}, labels)
    if entry is None:
        return
    for label, block in experiment["detectors"].items():
        if block["method"] == "oracle" and not entry.labels:
            yield f"{where}.detectors.{label}: an oracle needs labels, {dataset} has none; switch it off"
    if experiment["modality"] == "bimodal" and not entry.captions:
        captioned = [
            key for key in config["datasets"] if getattr(dataset_of(config["datasets"], key), "captions", False)
        ]
        yield f"{where}.dataset: a bimodal experiment needs captions, {dataset} has none; {nearest(dataset, captioned)}"
    size = config["datasets"][dataset].get(f"{split}_samples")
    if size is not None and batch > size:
        yield f"{where}.training.batch_size: {batch} is more than the {size} samples of {dataset}/{split}"
    for label, block in experiment["detectors"].items() if size else ():
        try:
            misfit = declared.detector(num_samples=size, **block).misfit()
        except ValueError as error:
            misfit = str(error)
        if misfit:
            yield f"{where}.detectors.{label}.{misfit}"


def _evaluations(config: Config, name: str, unknown: set[str]) -> Iterator[str]:
    experiment = config["experiments"][name]
    trained = experiment["dataset"], experiment["split"]
    for evaluation, tasks in experiment["evaluations"].items():
        where = f"experiments.{name}.evaluations.{evaluation}"
        if experiment["modality"] not in declared.entries("evaluations")[evaluation].modalities:
            yield f"{where}: not for {experiment['modality']} experiments"
        try:
            suffixes([EVALUATIONS[evaluation].task(**task) for task in tasks])
        except ValueError as error:
            yield f"{where}: {error}"
        for number, task in enumerate(tasks):
            if task["dataset"] not in unknown:
                yield from _task(config, f"{where}[{number}]", evaluation, task, trained)


def _task(config: Config, where: str, evaluation: str, task: Config, trained: tuple[str, str]) -> Iterator[str]:
    dataset, tested = task["dataset"], task["test"] if "test" in task else task["split"]
    labels = {key: task[key] for key in ("label", "together") if task.get(key) is not None}
    splits: Config = {key: task[key] for key in ("train", "test", "split") if key in task}
    if evaluation != "discovery":
        yield from _reference(config, where, dataset, splits, labels)
    if task.get("together") is not None and task["together"] == task["label"]:
        yield f"{where}.together: {task['label']} is what is predicted; a class must stand on both sides of a fold"
    entry = dataset_of(config["datasets"], dataset) if dataset in config["datasets"] else None
    if evaluation == "retrieval" and entry and not entry.captions:
        yield f"{where}.dataset: retrieval needs captions, {dataset} has none"
    if evaluation == "discovery":
        if (dataset, tested) != trained:
            yield f"{where}: discovery looks at what was trained on, {'/'.join(trained)}, not {dataset}/{tested}"
    elif (dataset, tested) == trained:
        key = "test" if "test" in task else "split"
        yield f"{where}.{key}: encoders are trained on {'/'.join(trained)}; a test must see new pictures"


def _files(config: Config) -> Iterator[str]:
    """Folders of the user's are there, and nothing stands where ours have to be made."""
    for key, value in config["paths"].items():
        stop = next((place for place in (Path(value), *Path(value).parents) if place.exists()), None)
        if stop is not None and not stop.is_dir():
            yield f"paths.{key}: {stop} is a file, not a folder"
    for label, block in config["datasets"].items():
        entry = dataset_of(config["datasets"], label)
        for key, there in (("path", Path.is_dir), ("class_list", Path.is_file)):
            if block.get(key) and not there(Path(block[key])):
                advice = f"; {entry.obtain}" if entry and entry.obtain and key == "path" else ""
                yield f"datasets.{label}.{key}: '{block[key]}' does not exist or is no {key.replace('_', ' ')}{advice}"
    for name, experiment in config["experiments"].items():
        for place, block in (*experiment["models"].items(), ("", experiment["init_from"])):
            for seed in config.get("seeds", []) if block and block["weights"] else ():
                if not (path := Path(block["weights"].replace("{seed}", str(seed)))).is_file():
                    where = f"models.{place}" if place else "init_from"
                    yield f"experiments.{name}.{where}.weights: there is no file {path}"


def _together(config: Config, unknown: set[str]) -> Iterator[str]:
    """The config as a whole: seeds, comparisons, processes, folders; `unknown` are experiments with problems."""
    seeds, significance, experiments = config["seeds"], config["significance"], config["experiments"]
    if both := sorted({*seeds} & {*config["tuning_seeds"]}):
        yield f"tuning_seeds: {', '.join(map(str, both))} would be reported; report seeds that nothing was chosen on"
    if significance is not None:
        if len(seeds) < 2:
            yield "seeds: significance needs at least 2 seeds, there is 1; add a seed or set significance: null"
        known = list(declared.entries("evaluations"))
        for number, name in enumerate(significance["primary"]):
            if name not in known:
                yield f"significance.primary[{number}]: unknown evaluation '{name}'; {nearest(name, known)}"
        for ours, theirs in PAPER.items():
            if {ours, theirs} <= {*significance["primary"]}:
                yield f"significance.primary: {ours} and {theirs} are one question under two protocols; name one"
        if not unknown and not any(experiment["evaluations"] for experiment in experiments.values()):
            yield "experiments: none has evaluations, nothing to compare; add some or set significance: null"
        for name, experiment in experiments.items():
            baseline, detectors = significance["baseline"], list(experiment["detectors"])
            if baseline not in detectors:
                valid = nearest(baseline, detectors)
                yield f"significance.baseline: experiment {name} has no detector '{baseline}'; {valid}"
            elif len(detectors) < 2 and not experiment["rivals"]:
                remedy = "add a detector or a rival, or set significance: null"
                yield f"experiments.{name}.detectors: nothing to compare with '{baseline}'; {remedy}"
    for key, table in config["plan"].items():
        for name in table.keys() - experiments.keys() - unknown:
            yield f"plan.{key}.{name}: no such experiment; {nearest(name, list(experiments))}"
    yield from _resources(config)
    places = {key: Path(value).absolute() for key, value in config["paths"].items()}
    for one, other in combinations(places, 2):
        if places[one] == places[other] or (places["shards"] in places["results"].parents and other == "results"):
            yield f"paths.{other}: is, or lies inside, paths.{one}; each needs a folder of its own"


def _resources(config: Config) -> Iterator[str]:
    """Upper bounds above where they start; a batch that the processes of a training can share, a GPU for each."""
    for rule, asked in config["resources"].items():
        for key in ("mem_mb", "runtime"):
            if asked[f"{key}_max"] is not None and asked[f"{key}_max"] < asked[key]:
                yield f"resources.{rule}.{key}_max: {asked[f'{key}_max']} is less than {key}, {asked[key]}"
    asked = config["resources"]["pretrain"]
    each = asked["processes"] or max(asked["gpu"], 1)
    for name, experiment in config["experiments"].items():
        training, processes = experiment["training"], asked["nodes"] * each
        if training["batch_size"] % processes:
            yield (
                f"experiments.{name}.training.batch_size: {training['batch_size']} cannot be split evenly among "
                f"{processes} processes; take a multiple, or change nodes, processes or gpu of resources.pretrain"
            )
        if 0 < asked["gpu"] < each and training["device"] != "cpu":
            yield f"resources.pretrain.processes: {each} on each node need as many GPUs, gpu is {asked['gpu']}"
