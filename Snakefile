"""The benchmark: sources -> shards -> pretraining -> evaluation -> tables, MLflow and report."""

import shlex
import sys

from snakemake.utils import min_version

min_version("9.0")

sys.path.insert(0, workflow.basedir)
from glofnd.data.manifest import FORMAT
from workflow.grid import digest
from workflow.session import Session, where_results_are

# What was given is there already. A file that says `alone: true` is a whole config.
if not config.get("alone"):

    configfile: f"{workflow.basedir}/config.yaml"


report: "workflow/report/workflow.rst"


SESSION = Session(workflow, config)
GRID, RESOURCES, RESULTS = SESSION.grid, SESSION.resources, SESSION.grid.results
RAW, SHARDS = (GRID.config["paths"][key] for key in ("raw", "shards"))

# Commands are modules of this repository, wherever the working folder is. Each job is one process in the place of its
# shell (`exec`), so signals reach it, and it is terminated when this Snakemake is killed. What it says goes to its log
# and to the terminal; that part outlives a signal, since training still has to say where it goes on.
JOB = f"setpriv --pdeathsig TERM python -m workflow.job --benchmark {shlex.quote(RESULTS)}/benchmark.json"
shell.prefix(
    f"set -euo pipefail; export PYTHONPATH={shlex.quote(workflow.basedir)}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
    f'job() {{{{ exec {JOB} "$@"; }}}}; '
    "log() {{ trap '' INT TERM USR1; exec tee \"$1\" >&2; }}; "
)


container: GRID.config["container"]


wildcard_constraints:
    run=r"[^/]+/[^/]+/[^/]+/seed\d+",
    trunk=r"[^/]+/[^/]+/seed\d+",
    epoch=r"\d+",


localrules:
    all,
    fetch,
    tables,
    mlflow,
    report,


rule all:
    default_target: True
    input:
        f"{RESULTS}/data-checked.json",
        f"{RESULTS}/report.html",
        f"{RESULTS}/mlflow-import.json",
    message:
        "Everything is in {RESULTS}"


include: "workflow/rules/data.smk"
include: "workflow/rules/pretraining.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/results.smk"


# Snakemake calls these around the first and last job, but not in a dry-run nor where nothing is to be done.
onstart:
    SESSION.start()


onsuccess:
    print(where_results_are(GRID.config), file=sys.stderr)
