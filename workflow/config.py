"""What may stand in a config, each key declared once with type, range, default and one line; and the resolved config.

    resolved = resolve(config)      every default filled in; raises ConfigError, which lists every problem at once
    python -m workflow.config       prints all options as Markdown
    python -m workflow.config FILE  says what is wrong with a config file

The workflow's own keys are declared here, as pydantic models. Options of methods, encoders, views, training, data sets
and evaluations are declared in the signatures of what takes them (`glofnd.parameters`); models are made of those. What
concerns two keys or more is in `workflow.config_checks`, or in the constructor that both belong to.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from glofnd.data.catalogue import DATASETS, Dataset, configured
from glofnd.parameters import REQUIRED, Parameter
from workflow import declared

__all__ = [
    *("Benchmark", "ConfigError", "dataset_of", "merged", "nearest", "options_as_markdown", "read_config", "resolve"),
]

Config = dict[str, Any]

PAPER = {"linear": "linear-paper", "transfer": "transfer-paper"}
"""Evaluations that have a task with `protocol: paper`, and the evaluation that this is then."""


class ConfigError(ValueError):
    """A config with problems; `problems` holds one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        number = len(self.problems)
        head = f"error: {number} problem{'s' * (number > 1)} in the config; nothing was started"
        super().__init__("\n  ".join([head, *self.problems]))


# Messages


def nearest(word: object, choices: Sequence[str]) -> str:
    """The closest valid choice and all of them, as the end of a message."""
    if not choices:
        return "none is allowed here"
    found = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.45)
    listed = ", ".join(choices[:30]) + (f" and {len(choices) - 30} more" if len(choices) > 30 else "")
    return f"did you mean '{found[0]}'? (valid: {listed})" if found else f"valid: {listed}"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str) if isinstance(value, bool | list | dict | None) else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _key(place: Sequence[str | int]) -> str:
    """A place in the config, as messages name it: `experiments.emoji.evaluations.linear[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place if part != "[key]")
    return text.removeprefix(".") or "config"


def _in_words(model: type[BaseModel], error: Any) -> InitErrorDetails:
    """One error of pydantic as `key: what is wrong; what would be right`."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "config":
        message = error["msg"]
    elif kind == "extra_forbidden":
        message = f"unknown key; {nearest(error['loc'][-1], list(model.model_fields))}"
    elif kind == "missing":
        field = model.model_fields.get(str(error["loc"][-1]))
        message = f"missing; {field.description}" if field and field.description else "missing"
    elif kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        message = f"unknown choice {_shown(value)}; {nearest(value, choices)}"
    elif kind == "value_error":
        message = str(context["error"])
    else:
        said = re.sub(",? (unable to parse|or instance of) .*", "", error["msg"])
        message = f"{said.replace('Input should', 'must')}, not {_shown(value)}"
    return InitErrorDetails(type=PydanticCustomError("config", message), loc=error["loc"], input=value)


class Section(BaseModel):
    """A part of the config that takes the keys declared in it and no others."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=True, protected_namespaces=())

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            lines = [_in_words(cls, item) for item in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, lines) from None


# Types. Texts become numbers where numbers are wanted: `snakemake --config seeds=[1,2]` hands over everything inside
# brackets as text, and YAML 1.1 takes `1e-3` for one.


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {_shown(value)}")
    return value


def _null(value: Any) -> Any:
    return None if value == "null" else value


def _unique(values: list[Any]) -> list[Any]:
    twice = [value for number, value in enumerate(values) if value in values[:number]]
    if twice:
        raise ValueError(f"{_shown(twice[0])} stands there more than once")
    return values


def _folder(text: str) -> str:
    """A path in its shortest form, with the home folder written out."""
    if "{" in text or "}" in text or text != text.strip() or "\n" in text:
        raise ValueError(f"{_shown(text)}: blanks at the ends, line breaks and braces cannot stand in a path here")
    found = os.path.expanduser(text)  # noqa: PTH111 (pathlib's raises RuntimeError)
    if found.startswith("~"):
        raise ValueError(f"{_shown(text)}: no such home folder is known; set HOME, or write the path out")
    return os.path.normpath(found)


# `user:password@`, as SQLAlchemy reads it: also with a slash in the password (a port is none); or as a parameter.
_SECRET = re.compile(
    r"://[^:/?#@]*:(?!\d+(?:/|$))[^@]+@|[?&](?:\w*(?:password|passwd|pwd|token|secret)|api_?key)=", re.IGNORECASE
)


def _tracking(address: str | None) -> str | None:
    if address is None or address == "databricks":
        return address
    if _SECRET.search(address):
        raise ValueError(
            "there is a password in it, which is not repeated here; leave it out of the address; a server's goes into "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, PostgreSQL's into ~/.pgpass (docs/mlflow.md)"
        )
    if not re.match(r"(https?|postgresql(\+\w+)?)://[^/\s]+\S*$|sqlite:///(?!file:)[^:?\s][^\n]*$", address):
        choices = "null, http://HOST:PORT, https://..., postgresql://HOST/..., sqlite:///FILE, databricks"
        raise ValueError(f"{_shown(address)} is no store that MLflow takes; choose one of {choices}")
    if address.startswith("sqlite:"):
        from sqlalchemy import make_url

        url = make_url(address)
        try:
            options = url.get_dialect()().create_connect_args(url)[1]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{_shown(address)} has an option that SQLite does not take ({error})") from None
        if unknown := url.query.keys() - options.keys():
            raise ValueError(f"{_shown(address)}: SQLite has no option {min(unknown)}; leave it out")
    return address


Seed = Annotated[int, BeforeValidator(_not_bool), Field(ge=0, lt=2**31)]
Count = Annotated[int, BeforeValidator(_not_bool), Field(ge=1, lt=2**31)]
Positive = Annotated[float, BeforeValidator(_not_bool), Field(gt=0)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,79}$")]
Folder = Annotated[str, StringConstraints(min_length=1), AfterValidator(_folder)]
Optional = BeforeValidator(_null)
Slurm = Annotated[Annotated[str, StringConstraints(pattern=r"^[\w.,@+-]{1,200}$")] | None, Optional]
Image = Annotated[Annotated[str, StringConstraints(pattern=r"^[^\s{}~]+$")] | None, Optional]


def _field(parameter: Parameter) -> Any:
    """A declared parameter as a field of a model."""
    kind, notes = parameter.type, list[Any]()
    if "bool" not in str(kind) and ("int" in str(kind) or "float" in str(kind)):
        notes.append(BeforeValidator(_not_bool))
    if type(None) in get_args(kind):
        notes.append(Optional)
    if parameter.name in ("path", "class_list"):
        notes.append(AfterValidator(lambda text: text and _folder(text)))
    if parameter.range is not None:
        notes.append(AfterValidator(parameter.range.check))
    default = ... if parameter.default is REQUIRED else parameter.default
    return Annotated[(kind, *notes, Field(description=parameter.description))], default


def _model(name: str, parameters: Mapping[str, Parameter], **more: Any) -> type[BaseModel]:
    made: type[BaseModel] = create_model(
        name, __base__=Section, **more, **{key: _field(parameter) for key, parameter in parameters.items()}
    )
    return made


@cache
def _entry_model(group: str, name: str) -> type[BaseModel]:
    """Model of the options of one entry of a registry."""
    return _model(f"{group}.{name}", declared.entries(group)[name].options)


def _options(group: str, name: str) -> Callable[[Any], Config]:
    """Validates the options of one entry of a registry by its model, then by its constructor."""

    def validate(value: Any) -> Config:
        found = _entry_model(group, name).model_validate(value).model_dump(mode="json")
        try:
            declared.entries(group)[name].build(**found)
        except ValueError as error:
            key, message = re.split(r"[: ]+", str(error), maxsplit=1)
            # A message that begins with an option is about that one.
            detail = PydanticCustomError("config", message if key in found else str(error))
            lines = [InitErrorDetails(type=detail, loc=(key,) if key in found else (), input=value)]
            raise ValidationError.from_exception_data(name, lines) from None
        return found

    return validate


def _by_name(group: str, key: str) -> Callable[[Any], Config]:
    """Validates a block that names an entry of a registry by `key` and gives its options."""

    def validate(value: Any) -> Config:
        if not isinstance(value, dict):
            raise ValueError(f"must be keys with values, not {_shown(value)}")
        known = list(declared.entries(group))
        if key not in value:
            raise ValueError(f"{key} is missing; valid: {', '.join(known)}")
        name = value[key]
        if name not in known:
            raise ValueError(f"unknown {key} {_shown(name)}; {nearest(name, known)}")
        return {key: name, **_options(group, name)({option: item for option, item in value.items() if option != key})}

    return validate


def _user_model(value: Any) -> Config | None:
    """Validates a block of options, or `timm/NAME` or the path of a checkpoint alone."""
    if isinstance(value, str):
        value = {"weights" if value.endswith(".pt") else "model": value}
    return None if value is None else _options("models", "models")(value)


@cache
def _evaluations_model() -> type[BaseModel]:
    fields: Config = {}
    for name in declared.entries("evaluations"):
        task = Annotated[Any, PlainValidator(_options("evaluations", name))]
        fields[name] = (Annotated[list[task] | None, Field(min_length=1)], None)
    return _model("evaluations", {}, **fields)


def _evaluations(value: Any) -> Config:
    """Validates evaluation -> list of tasks."""
    return _evaluations_model().model_validate(value).model_dump(exclude_unset=True)


# The workflow's own keys


class Paths(Section):
    raw: Folder = Field(description="fetched files, shared by all configs")
    shards: Folder = Field(description="webdataset shards made from them")
    results: Folder = Field(description="everything else: checkpoints, metrics, tables, report, MLflow")


class Significance(Section):
    baseline: str = Field(default="none", description="the detector that others are compared with")
    confidence: Positive = Field(default=0.95, lt=1, description="of the intervals")
    primary: Annotated[list[str], AfterValidator(_unique)] = Field(
        default=["linear", "transfer", "zero-shot", "retrieval"],
        description="evaluations whose main metrics form the families of Holm's correction",
    )


class Mlflow(Section):
    tracking_uri: Annotated[str | None, Optional, AfterValidator(_tracking)] = Field(
        default=None, description="null: SQLite below paths.results; else http(s)://... or postgresql://..."
    )
    prefix: str = Field(
        default="", max_length=150, pattern=r"^\P{C}*$", description="before the names of MLflow experiments"
    )
    live: bool = Field(default=True, description="log each epoch while it is trained, besides the import at the end")


class Plan(Section):
    images_per_second: dict[str, Positive] = Field(
        default={}, description="of one training, by experiment, until measured"
    )
    minutes: dict[str, Positive] = Field(
        default={}, description="of the evaluations of one run, by experiment, until measured"
    )


class Resources(Section):
    mem_mb: Count = Field(default=2000, description="memory of the first attempt; the k-th gets k times as much")
    mem_mb_max: Annotated[Count | None, Optional] = Field(
        default=None, description="the most memory that an attempt asks for"
    )
    runtime: Count = Field(default=60, description="minutes of the first attempt; the k-th gets k times as many")
    runtime_max: Annotated[Count | None, Optional] = Field(default=None, description="the most minutes")
    gpu: Annotated[int, BeforeValidator(_not_bool)] = Field(default=0, ge=0, le=4096, description="GPUs, on each node")
    partition: Slurm = Field(default=None, description="of SLURM, where it is not the profile's")
    account: Slurm = Field(default=None, description="of SLURM, where it is not the profile's")


class RuleResources(Resources):
    threads: Count = Field(default=1, description="CPU threads of a job")


class TrainingResources(Resources):
    nodes: Count = Field(default=1, le=4096, description="nodes of one training")
    processes: Annotated[Count | None, Optional] = Field(
        default=None, description="on each node; null: one per GPU, or one"
    )


class Rules(Section):
    fetch: RuleResources = Field(default=RuleResources(mem_mb=1000), description="fetching of a source")
    shard: RuleResources = Field(default=RuleResources(), description="sharding of a split")
    pretrain: TrainingResources = Field(
        default=TrainingResources(), description="a training; threads: training.threads"
    )
    evaluate: RuleResources = Field(default=RuleResources(mem_mb=3000), description="all evaluations of a run")
    collect: RuleResources = Field(default=RuleResources(), description="tables, report and MLflow")


Encoder = Annotated[Any, PlainValidator(_by_name("encoders", "name"))]
Views = Annotated[Any, PlainValidator(_options("views", "views"))]
Training = Annotated[Any, PlainValidator(_options("training", "training"))]
Objective = Annotated[Any, PlainValidator(_by_name("objectives", "method"))]
Detector = Annotated[Any, PlainValidator(_by_name("detectors", "method"))]
OneDataset = Annotated[Any, PlainValidator(_by_name("datasets", "dataset"))]
Evaluations = Annotated[Any, PlainValidator(_evaluations)]
UserModel = Annotated[Any, PlainValidator(_user_model)]


class Experiment(Section):
    modality: Literal["unimodal", "bimodal"] = Field(description="unimodal (two views) or bimodal (picture and text)")
    dataset: str = Field(description="a key of `datasets`: what is trained on")
    split: str = Field(default="train", description="the split that is trained on")
    label: str = Field(description="the field that says who is a false negative, for the oracle and for scoring alone")
    encoder: Encoder = Field(description="`name` and its options")
    views: Views = Field(default={}, description="augmentation")
    training: Training = Field(default={}, description="schedule and optimiser")
    objectives: dict[Name, Objective] = Field(min_length=1, description="by label")
    detectors: dict[Name, Detector] = Field(min_length=1, description="by label; each is run with each objective")
    rivals: dict[Name, Objective] = Field(
        default={},
        description="objectives without any detector, each compared with the first of `objectives`",
    )
    baselines: Annotated[list[Literal["raw-pixels", "random-init"]], AfterValidator(_unique)] = Field(
        default=[], description="what is evaluated without any training"
    )
    models: dict[Name, UserModel] = Field(
        default={}, description="encoders trained elsewhere, by label: evaluated like the rest (docs/models.md)"
    )
    init_from: Annotated[UserModel, Optional] = Field(
        default=None, description="encoder that training starts from, as in `models`; null: random"
    )
    evaluations: Evaluations = Field(default={}, description="lists of tasks")


class Benchmark(Section):
    """A whole config."""

    alone: bool = Field(default=False, strict=True, description="true: a whole config, not laid over config.yaml")
    paths: Paths = Field(description="folders")
    seeds: Annotated[list[Seed], AfterValidator(_unique)] = Field(min_length=1, description="one run of each per seed")
    tuning_seeds: Annotated[list[Seed], AfterValidator(_unique)] = Field(
        default=[], description="seeds that options were chosen on; stated in the report"
    )
    datasets: dict[Name, OneDataset] = Field(min_length=1, description="by an id of your choice")
    experiments: dict[Name, Experiment] = Field(min_length=1, description="by a name of your choice")
    significance: Annotated[Significance | None, Optional] = Field(
        default=Significance(), description="null: no comparison"
    )
    mlflow: Mlflow = Field(default=Mlflow(), description="where runs are logged to")
    plan: Plan = Field(default=Plan(), description="for `make plan`, where nothing has been measured yet")
    container: Image = Field(
        default="containers/glofnd-cpu.sif", description="image for `--use-singularity`: a .sif file or docker://..."
    )
    resources: Rules = Field(default=Rules(), description="what a job of each rule asks for")


# From what a user wrote to the resolved config


def _mapping(value: object) -> Config:
    return value if isinstance(value, dict) else {}


def _entries(value: object, empty: object = None) -> Any:
    """Entries that are switched on; `false` switches one off (`--config` hands it over as text), null is empty."""
    if not isinstance(value, dict):
        return value
    on = {key: item for key, item in value.items() if item is not False and item not in ("false", "False")}
    return {key: deepcopy({} if empty is None else empty) if item is None else item for key, item in on.items()}


def _named(entries: object, key: str) -> Any:
    """Entries of which each names a method by `key`: the label itself where it is left out."""
    found = _entries(entries)
    return (
        {k: {key: k, **v} if isinstance(v, dict) else v for k, v in found.items()} if isinstance(found, dict) else found
    )


def dataset_of(datasets: Config, label: object) -> Dataset | None:
    """The catalogue's entry of a data set of the config, as its block makes it; None where there is none."""
    block = _mapping(datasets.get(label)) if isinstance(label, str) else {}
    name = block.get("dataset", label)
    return configured(DATASETS[name], block) if isinstance(name, str) and name in DATASETS else None


def _usual_alpha(detectors: object) -> float | None:
    """The share that an experiment's detectors drop, GloFND's if there is one: baselines are held against it."""
    found: Config = {}
    for block in _mapping(detectors).values():
        entry = declared.entries("detectors").get(str(_mapping(block).get("method")))
        if entry and "alpha" in entry.options:
            alpha = block.get("alpha", entry.options["alpha"].default)
            if isinstance(alpha, int | float) and 0 < alpha < 1:
                found.setdefault(block["method"], alpha)
    return found.get("glofnd", next(iter(found.values()), None))


def _tasks(evaluations: object, experiment: Config, datasets: Config) -> Any:
    """Tasks with what they leave out: what their data set usually has, or what the experiment trains on."""
    if not isinstance(evaluations, dict):
        return evaluations
    found: Config = {}
    for name, tasks in _entries(evaluations, []).items():
        if name == "discovery" and tasks == []:
            tasks = [{}]
        if not isinstance(tasks, list):
            found[name] = tasks
            continue
        found.setdefault(name, [])
        for task in tasks:
            place, usual = name, dict[str, Any]()
            if isinstance(task, dict):
                if name in PAPER and task.get("protocol") in ("paper", "validated"):
                    place = PAPER[name] if task["protocol"] == "paper" else name
                    task = {key: value for key, value in task.items() if key != "protocol"}
                if name == "discovery":
                    usual = {"dataset": experiment.get("dataset"), "split": experiment.get("split", "train")}
                    usual["alpha"] = _usual_alpha(experiment.get("detectors"))
                if entry := dataset_of(datasets, task.get("dataset", usual.get("dataset"))):
                    usual |= {"label": entry.label, "metric": entry.metric, "templates": entry.templates}
                known = declared.entries("evaluations").get(place)
                task = {key: usual[key] for key in usual if known and key in known.options} | task
            found.setdefault(place, []).append(task)
        if tasks and not found[name]:
            del found[name]
    return found


def _prepared(config: Config) -> Config:
    """A copy with everything named, switched-off entries left out, and defaults that depend on other keys put in."""
    chosen: Config = deepcopy(dict(config))
    chosen["datasets"] = datasets = _named(chosen.get("datasets"), "dataset")
    chosen["experiments"] = _entries(chosen.get("experiments"))
    for experiment in map(_mapping, _mapping(chosen["experiments"]).values()):
        for key in ("objectives", "rivals", "detectors"):
            if key in experiment:
                experiment[key] = _named(experiment[key], "method")
        if "models" in experiment:
            experiment["models"] = _entries(experiment["models"])
        if entry := dataset_of(_mapping(datasets), experiment.get("dataset")):
            experiment.setdefault("label", entry.label)
        if "evaluations" in experiment:
            experiment["evaluations"] = _tasks(experiment["evaluations"], experiment, _mapping(datasets))
    return chosen


def resolve(config: Config, files: bool = True) -> Config:
    """Check a merged config and fill in every default.

    An entry of `datasets`, `experiments`, `objectives`, `detectors` or `evaluations` that is `false` is left out (so
    that a preset can switch off what the default config has); one that is empty takes its defaults.

    Args:
        config: as read.
        files: whether the user's own files must be there already.

    Raises:
        ConfigError: naming every problem.
    """
    from workflow.config_checks import contradictions

    if not isinstance(config, dict):
        raise ConfigError([f"config: must be keys with values, not {_shown(config)}"])
    chosen, lines, broken = _prepared(config), list[str](), set[tuple[str, ...]]()
    try:
        complete = Benchmark.model_validate(chosen).model_dump(mode="json")
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            lines.append(f"{_key(item['loc'])}: {item['msg']}")
            depth = 2 if item["loc"][0] in ("datasets", "experiments") else 1
            broken.add(tuple(str(part) for part in item["loc"][:depth]))
        complete = _rest(chosen, broken)
    lines += contradictions(complete, broken, files)
    if lines:
        raise ConfigError([" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in lines])
    return complete


def _rest(chosen: Config, broken: set[tuple[str, ...]]) -> Config:
    """What of a config with problems is sound: sections, data sets and experiments, each as a whole."""
    found: Config = {"datasets": {}, "experiments": {}}
    for key, field in Benchmark.model_fields.items():
        if key in found:
            one = create_model("One", __base__=Section, block=(get_args(field.annotation)[1], ...))
            for label, block in _mapping(chosen.get(key)).items():
                if not {(key,), (key, str(label))} & broken:
                    found[key][label] = one.model_validate({"block": block}).model_dump(mode="json")["block"]
        elif (key,) not in broken:
            one = create_model("One", __base__=Section, **{key: (field.annotation, field)})  # type: ignore[call-overload]
            found |= one.model_validate({key: chosen[key]} if key in chosen else {}).model_dump(mode="json")
    return found


# Files


class _Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML in which no mapping has a key twice; Snakemake takes the last one and says nothing."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A mapping, with its double keys refused."""
        seen = set[str]()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"):
            if key.value in seen:
                problem = f"the key '{key.value}' stands there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_config(path: Path) -> Config:
    """The mapping that a YAML or JSON file holds.

    Raises:
        ValueError, OSError: the file is not there, is no YAML or no mapping, or has a key twice; one line.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Strict)  # noqa: S506, which is a SafeLoader
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is no UTF-8; this is no config") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{path}: {line}{error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is no YAML ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds {_shown(found)}, not keys and values")
    return found


def merged(*files: Path) -> Config:
    """What Snakemake makes of config files: each is laid over those before it, all over config.yaml unless `alone`."""
    from snakemake.utils import update_config

    given: Config = {}
    for file in files:
        update_config(given, read_config(file))
    config = {} if given.get("alone") else read_config(Path(__file__).parents[1] / "config.yaml")
    update_config(config, given)
    return config


# Documentation


def table(options: Mapping[str, Parameter]) -> list[str]:
    """Declared options as a Markdown table."""
    lines = ["| key | type and range | default | what |", "|---|---|---|---|"]
    for name, given in options.items():
        default = "required" if given.default is REQUIRED else f"`{json.dumps(given.default)}`"
        kind = " or ".join(given.choices) if given.choices else getattr(given.type, "__name__", str(given.type))
        bounds = f" {given.range}" if given.range else ""
        lines.append(f"| `{name}` | {kind.replace('|', 'or')}{bounds} | {default} | {given.description} |")
    return lines if options else ["No options."]


def _sections(model: type[Section], place: str = "") -> Iterator[tuple[str, type[Section]]]:
    """A section of the config and all below it, each with its place."""
    yield place.removeprefix(".") or "the whole config", model
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                named = ".NAME" if kind is Experiment else ""
                yield from _sections(kind, f"{place}.{name}{named}")


def options_as_markdown() -> str:
    """Every key of a config, then every option of every method, encoder, data set and evaluation, as Markdown."""
    lines = ["# Config", "", "Made of what the config check reads, by `python -m workflow.config`.", ""]
    places: dict[type[Section], list[str]] = {}
    for place, model in _sections(Benchmark):
        places.setdefault(model, []).append(place)
    for model, names in places.items():
        lines += [f"## {', '.join(names)}", "", "| key | default | what |", "|---|---|---|"]
        for name, field in model.model_fields.items():
            given = field.default
            default = "required" if field.is_required() else "" if isinstance(given, Section) else f"`{_shown(given)}`"
            lines.append(f"| `{name}` | {default} | {field.description} |")
        lines.append("")
    for group in declared.GROUPS:
        for name, entry in declared.entries(group).items():
            lines += [f"## {group}: {name}" if name != group else f"## {name}", "", *table(entry.options), ""]
    return "\n".join(lines)


def main() -> None:
    """Print the options, or say what is wrong with a config file."""
    if len(sys.argv) == 1:
        print(options_as_markdown())
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    there = next(place for place in (cache, *cache.absolute().parents) if place.exists())
    try:
        read_config(Path(sys.argv[1]))
        if cache.parts[0] == "~" or not os.access(there, os.W_OK):
            raise ValueError(
                f"{cache}: cannot be written by Snakemake; set HOME or XDG_CACHE_HOME to a folder that can"
            )
    except (ValueError, OSError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        print(f"error: {text}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
