"""`python -m evaluation COMMAND`: features of a run, then everything that is measured on them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from glofnd.command_line import Parser, at_least_one
from glofnd.failures import report

BASELINES = ("raw-pixels", "random-init")


def _parser() -> Parser:
    parser = Parser(prog="python -m evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--out", required=True, type=Path, help="output folder")
        added.add_argument("--threads", type=at_least_one, default=1, help="CPU threads (default 1)")
        return added

    def from_run(command: argparse.ArgumentParser) -> None:
        source = command.add_mutually_exclusive_group(required=True)
        source.add_argument("--checkpoint", type=Path, help="checkpoint.pt of a trained run")
        source.add_argument("--baseline", choices=BASELINES, help="an encoder that is not trained")
        command.add_argument("--run-config", help="run config of a baseline: JSON, or the path of a JSON file")
        shards = "folder of all shards, {dataset}/{split} below it"
        command.add_argument("--shards", required=True, type=Path, help=shards)

    features = command("features", "Extract frozen features of a run for all its data sets.")
    from_run(features)
    features.add_argument("--split", action="append", required=True, metavar="DATASET/SPLIT", help="may be repeated")
    features.add_argument("--zero-shot", action="append", default=[], metavar="TASK", help="embed its prompts too")

    for name, text in (
        ("linear", "Linear probe on frozen features at several fractions of the labels."),
        ("transfer", "Logistic regression on frozen features of other data sets."),
        ("transfer-paper", "The same with C chosen on the test set, as the paper does."),
        ("zero-shot", "Classification by prompts."),
        ("retrieval", "Retrieval between pictures and captions."),
    ):
        added = command(name, text)
        added.add_argument("--features", required=True, type=Path, help="folder that `features` wrote")
        added.add_argument("--task", action="append", required=True, metavar="JSON", help="may be repeated")

    for name, text in (
        ("linear-paper", "The paper's linear evaluation: SGD on crops, best epoch on the test set."),
        ("fine-tuning", "Encoder and linear layer trained together on all or few of the labels."),
    ):
        added = command(name, text)
        from_run(added)
        added.add_argument(
            "--workers", type=at_least_one, default=2, help="threads that read pictures ahead (default 2)"
        )
        added.add_argument("--task", action="append", required=True, metavar="JSON", help="may be repeated")

    discovery = command("discovery", "Score the false negatives that a run's detector finds.")
    from_run(discovery)
    discovery.add_argument("--task", action="append", required=True, metavar="JSON", help="the training split")
    return parser


def _source(arguments: argparse.Namespace) -> tuple[dict[str, Any], Any, dict[str, str]]:
    """Run config, model (`None` for raw pixels) and identity of what is evaluated."""
    from evaluation import old_features as features

    if arguments.checkpoint is not None:
        return features.from_checkpoint(arguments.checkpoint)
    if arguments.run_config is None:
        raise ValueError("--baseline needs --run-config")
    return features.from_baseline(arguments.baseline, arguments.run_config)


def _features(arguments: argparse.Namespace) -> None:
    from evaluation import old_features as features
    from evaluation.old_tasks import parse_tasks

    folders = {}
    for name in arguments.split:
        dataset, slash, split = name.partition("/")
        if not slash:
            raise ValueError(f"--split {name!r}: must be DATASET/SPLIT")
        folders[dataset, split] = arguments.shards / dataset / split
    config, model, source = _source(arguments)
    prompts = parse_tasks("zero-shot", arguments.zero_shot)
    features.extract(config, model, source, folders, prompts, arguments.out, arguments.threads)


def _on_features(arguments: argparse.Namespace) -> None:
    from evaluation.classification import run_linear, run_transfer
    from evaluation.feature_store import FeatureStore
    from evaluation.old_tasks import parse_tasks
    from evaluation.retrieval import run_retrieval
    from evaluation.transfer_paper import run_transfer_paper
    from evaluation.zero_shot import run_zero_shot
    from glofnd.provenance import Stopwatch, provenance

    watch = Stopwatch()
    tasks = parse_tasks(arguments.command, arguments.task)
    store = FeatureStore(arguments.features)
    run: Any = {
        "linear": run_linear,
        "transfer": run_transfer,
        "transfer-paper": run_transfer_paper,
        "zero-shot": run_zero_shot,
        "retrieval": run_retrieval,
    }[arguments.command]
    findings = run(store, tasks)
    findings.write(arguments.out, provenance([vars(task) for task in tasks], store.inputs, watch))


def _on_pictures(arguments: argparse.Namespace) -> None:
    import torch

    from evaluation.fine_tuning import run_fine_tuning
    from evaluation.linear_paper import run_linear_paper
    from evaluation.old_tasks import parse_tasks
    from glofnd.provenance import Stopwatch, provenance

    watch = Stopwatch()
    torch.set_num_threads(arguments.threads)
    tasks = parse_tasks(arguments.command, arguments.task)
    config, model, source = _source(arguments)
    if model is None:
        raise ValueError(f"--baseline {arguments.baseline}: has no encoder that could be trained on")
    model.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    run = run_linear_paper if arguments.command == "linear-paper" else run_fine_tuning
    weights = next(iter(source.values()))
    findings, inputs = run(config, model, arguments.shards, tasks, arguments.workers, arguments.out, weights)
    settings = [vars(task) for task in tasks]
    findings.write(arguments.out, provenance(settings, source | inputs, watch, str(model.mean.device)))
    for leftover in arguments.out.glob("resume-*.npz"):
        if not leftover.is_dir():
            leftover.unlink()


def _discovery(arguments: argparse.Namespace) -> None:
    from evaluation.old_discovery import discover, discover_untrained
    from evaluation.old_tasks import parse_tasks

    tasks = parse_tasks("discovery", arguments.task)
    if len(tasks) > 1:
        raise ValueError(f"--task: discovery looks at the one split that was trained on, here are {len(tasks)} tasks")
    where = (arguments.shards, tasks[0], arguments.out, arguments.threads)
    if arguments.checkpoint is not None:
        discover(arguments.checkpoint, *where)
    else:
        config, _, source = _source(arguments)
        discover_untrained(arguments.baseline, config, source, *where)


def main() -> None:
    """Run one command; an error of the user's is one line on stderr and exit status 2."""
    arguments = _parser().parse_args()
    # Read by the BLAS behind numpy when it is first imported, which is below.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)
    handlers = {"features": _features, "discovery": _discovery}
    handlers |= dict.fromkeys(("linear-paper", "fine-tuning"), _on_pictures)
    handler = handlers.get(arguments.command, _on_features)
    try:
        handler(arguments)
    except Exception as error:
        raise SystemExit(report(error, f"raise mem_mb of the rule of {arguments.command!r}")) from None


if __name__ == "__main__":
    main()
