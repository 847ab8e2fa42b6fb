"""Stands in for `python` on PATH in the soak: what trains or evaluates writes plausible results at once.

The commands that make tables, the MLflow import and the report are the real ones.
"""

import json
import os
import sys
import zlib


def write(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 -- pathlib would double the time of a job
    with open(path + ".part", "w") as file:  # noqa: PTH123
        json.dump(value, file)
    os.replace(path + ".part", path)  # noqa: PTH105


def option(arguments, name):
    return [arguments[place + 1] for place, word in enumerate(arguments) if word == name]


def identity(path):
    """The run block of metrics.json from .../runs/<experiment>/<objective>/<detector>/seed<k>/..."""
    experiment, objective, detector, seed = path.split("/runs/")[1].split("/")[:4]
    return {
        "id": "/".join([experiment, objective, detector, seed]),
        "experiment": experiment,
        "objective": objective,
        "detector": detector,
        "seed": int(seed[4:]),
        "kind": "baseline" if objective == "baseline" else "method",
    }


def metrics(path, evaluation, tasks):
    run, rows = identity(path + "/"), []
    for task in tasks:
        draw = zlib.crc32(f"{run['id']}/{evaluation}/{task['dataset']}".encode()) / 2**32
        rows += [
            {
                "dataset": task["dataset"],
                "split": "test",
                "metric": "top1",
                "fraction": fraction,
                "value": 0.5 + 0.1 * draw,
                "stderr": 0.01,
                "n": 360,
                "chance": 0.1,
                "higher_is_better": True,
                "primary": True,
            }
            for fraction in task.get("fractions", [None])
        ]
    return {
        "format": 1,
        "run": run,
        "evaluation": evaluation,
        "protocol": f"{evaluation}-soak",
        "metrics": rows,
        "provenance": {"wall_seconds": 0.01, "device": "cpu", "packages": {}},
    }


def main():
    module, arguments = sys.argv[2], sys.argv[3:]
    if module.startswith("workflow."):
        os.execv(os.environ["SOAK_PYTHON"], [os.environ["SOAK_PYTHON"], "-m", module, *arguments])
    (out,) = option(arguments, "--out")
    if module == "glofnd.data":
        name = "source.json" if arguments[0] == "fetch" else "manifest.json"
        write(f"{out}/{name}", {"samples": 360, "licence": "none"})
    elif module == "glofnd.pretraining":
        write(f"{out}/checkpoint.pt", "weights")
        if "--until-epoch" not in arguments:
            epochs = [{"epoch": epoch, "loss": 1 / (1 + epoch), "lr": 0.001} for epoch in range(20)]
            write(f"{out}/history.json", {"epochs": epochs})
            write(f"{out}/metrics.json", metrics(out, "pretraining", []))
    elif arguments[0] == "features":
        write(f"{out}/manifest.json", {"run": identity(out)})
    else:
        write(f"{out}/metrics.json", metrics(out, arguments[0], map(json.loads, option(arguments, "--task"))))


main()
