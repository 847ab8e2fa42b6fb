"""Stands in for `python` on PATH, so that a test of the DAG's habits runs no training.

Called as `python -m MODULE ...` it appends a line to $STUB_CALLS and writes the files that the command would leave in
--out. A command line that contains $STUB_FAIL leaves a resume file and fails.
"""

import json
import os
import sys
from pathlib import Path

FILES = {
    "fetch": ["source.json"],
    "shard": ["manifest.json"],
    "glofnd.pretraining": ["checkpoint.pt", "history.json", "metrics.json"],
    "features": ["manifest.json"],
    "discovery": ["metrics.json", "gallery.npz"],
    "workflow.scripts.aggregate": ["summary.parquet", "summary.csv", "summary_mean.csv"],
}


def main() -> int:
    module, arguments = sys.argv[2], sys.argv[3:]
    with Path(os.environ["STUB_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(json.dumps([module, *arguments, os.environ["OMP_NUM_THREADS"]]) + "\n")
    out = Path(arguments[arguments.index("--out") + 1])
    out.parent.mkdir(parents=True, exist_ok=True)
    fail = os.environ.get("STUB_FAIL")
    if fail and fail in " ".join(arguments):
        out.mkdir(exist_ok=True)
        (out / "resume-1.pt").write_text("half")
        print("error: the stub was told to fail", file=sys.stderr)
        return 2
    command = arguments[0] if not arguments[0].startswith("-") else module
    if module.startswith("workflow.") and command not in FILES:
        out.write_text("{}")
        if "--overall" in arguments:
            Path(arguments[arguments.index("--overall") + 1]).write_text("{}")
        return 0
    out.mkdir(exist_ok=True)
    for name in FILES.get(command, ["metrics.json"]):
        (out / name).write_text("{}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
