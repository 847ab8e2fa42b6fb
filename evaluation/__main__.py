"""`python -m evaluation COMMAND`: features of a run, then everything that is measured on them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

BASELINES = ("raw-pixels", "random-init")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--out", required=True, type=Path, help="output folder")
        added.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
        return added

    features = command("features", "Extract frozen features of a run for all its data sets.")
    source = features.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, help="checkpoint.pt of a trained run")
    source.add_argument("--baseline", choices=BASELINES, help="an encoder that is not trained")
    features.add_argument("--run-config", help="run config of a baseline: JSON, or the path of a JSON file")
    features.add_argument("--shards", required=True, type=Path, help="folder of all shards, {dataset}/{split} below it")
    features.add_argument("--split", action="append", required=True, metavar="DATASET/SPLIT", help="may be repeated")
    features.add_argument("--zero-shot", action="append", default=[], metavar="TASK", help="embed its prompts too")

    for name, text in (
        ("linear", "Linear probe on frozen features at several fractions of the labels."),
        ("transfer", "Logistic regression on frozen features of other data sets."),
        ("zero-shot", "Classification by prompts."),
        ("retrieval", "Retrieval between pictures and captions."),
    ):
        added = command(name, text)
        added.add_argument("--features", required=True, type=Path, help="folder that `features` wrote")
        added.add_argument("--task", action="append", required=True, metavar="JSON", help="may be repeated")

    discovery = command("discovery", "Score the false negatives that a run's detector finds.")
    discovery.add_argument("--checkpoint", required=True, type=Path, help="checkpoint.pt of a trained run")
    discovery.add_argument("--shards", required=True, type=Path, help="folder of all shards")
    discovery.add_argument("--task", action="append", required=True, metavar="JSON", help="may be repeated")
    return parser


def _features(arguments: argparse.Namespace) -> None:
    from evaluation import features
    from evaluation.tasks import parse_tasks

    folders = {}
    for name in arguments.split:
        dataset, slash, split = name.partition("/")
        if not slash:
            raise ValueError(f"--split {name!r}: must be DATASET/SPLIT")
        folders[dataset, split] = arguments.shards / dataset / split
    if arguments.checkpoint is not None:
        config, model, source = features.from_checkpoint(arguments.checkpoint)
    elif arguments.run_config is None:
        raise ValueError("--baseline needs --run-config")
    else:
        config, model, source = features.from_baseline(arguments.baseline, arguments.run_config)
    prompts = parse_tasks("zero-shot", arguments.zero_shot)
    features.extract(config, model, source, folders, prompts, arguments.out, arguments.threads)


def _on_features(arguments: argparse.Namespace) -> None:
    from evaluation.classification import run_linear, run_transfer
    from evaluation.feature_store import FeatureStore
    from evaluation.retrieval import run_retrieval
    from evaluation.tasks import parse_tasks
    from evaluation.zero_shot import run_zero_shot
    from glofnd.provenance import Stopwatch, provenance

    watch = Stopwatch()
    tasks = parse_tasks(arguments.command, arguments.task)
    store = FeatureStore(arguments.features)
    run: Any = {
        "linear": run_linear,
        "transfer": run_transfer,
        "zero-shot": run_zero_shot,
        "retrieval": run_retrieval,
    }[arguments.command]
    findings = run(store, tasks)
    findings.write(arguments.out, provenance([vars(task) for task in tasks], store.inputs, watch))


def _discovery(arguments: argparse.Namespace) -> None:
    from evaluation.discovery import run_discovery
    from evaluation.tasks import parse_tasks

    tasks = parse_tasks("discovery", arguments.task)
    run_discovery(arguments.checkpoint, arguments.shards, tasks, arguments.out, arguments.threads)


def main() -> None:
    """Run one command; an error of the user's is one line on stderr and exit status 2."""
    arguments = _parser().parse_args()
    # Read by the BLAS behind numpy when it is first imported, which is below.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)
    handler = {"features": _features, "discovery": _discovery}.get(arguments.command, _on_features)
    try:
        handler(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
