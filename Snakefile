"""The benchmark: sources -> shards -> pretraining -> features -> evaluation -> significance -> MLflow and report."""

import os
import shlex
import sys

from snakemake.utils import min_version

min_version("9.0")

sys.path.insert(0, workflow.basedir)
from glofnd.lifetime import SHELL, sign
from workflow.alone import finished, hold_or_exit
from workflow.binds import warn_of_unseen
from workflow.configuration import resolve_or_exit
from workflow.farewell import farewell
from workflow.jobs import Jobs
from workflow.machine import ready_or_exit, working_folder_or_exit
from workflow.resources import resources_of

working_folder_or_exit()


configfile: f"{workflow.basedir}/config.yaml"


report: "workflow/report/workflow.rst"


BENCHMARK = resolve_or_exit(config, sources=workflow.configfiles)
warn_of_unseen(workflow, BENCHMARK["paths"])
JOBS = Jobs(BENCHMARK)
RESOURCES = BENCHMARK["resources"]
RAW, SHARDS, RESULTS = (BENCHMARK["paths"][key] for key in ("raw", "shards", "results"))

# Commands run as modules of this repository, wherever the working directory is; they end with this Snakemake and their
# shell (glofnd/lifetime.py).
sign(os.environ)
shell.prefix(
    f"set -euo pipefail; export {SHELL}=$$ PYTHONPATH={shlex.quote(workflow.basedir)}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
    f". {shlex.quote(workflow.basedir)}/workflow/killed.sh; "
)


container: BENCHMARK["container"]


wildcard_constraints:
    run=r"[^/]+/[^/]+/[^/]+/seed\d+",
    trunk=r"[^/]+/[^/]+/seed\d+",
    epoch=r"\d+",


localrules:
    all,
    fetch,
    resolve,
    aggregate,
    significance,
    mlflow,
    report,


rule all:
    default_target: True
    input:
        JOBS.all_metrics(),
        f"{RESULTS}/summary.parquet",
        f"{RESULTS}/report.html",
        f"{RESULTS}/mlflow-import.json",
        [f"{RESULTS}/significance.csv"] if BENCHMARK["significance"] else [],
    message:
        "Everything is in {RESULTS}"


include: "workflow/rules/data.smk"
include: "workflow/rules/pretraining.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/results.smk"


# Snakemake calls this before the first job, but not in a dry-run nor where nothing is to be done.
onstart:
    ready_or_exit(workflow, BENCHMARK)
    hold_or_exit(workflow, BENCHMARK["paths"])


# Snakemake calls this only after work was done, so `make`, which sets the variable, prints the farewell itself.
onsuccess:
    finished()
    if "GLOFND_FAREWELL" not in os.environ:
        print(farewell(BENCHMARK), file=sys.stderr)
