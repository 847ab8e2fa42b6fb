"""Stands in for `python` on PATH, so that a test of the DAG's habits trains nothing.

Called as `python -m workflow.job --benchmark FILE ... COMMAND --KEY VALUE ...` it appends a line to $STUB_CALLS and
writes the files that the command would leave. A command line that contains $STUB_FAIL leaves a resume file and fails.
"""

import json
import os
import sys
import time
from pathlib import Path


def main() -> int:
    words = sys.argv[sys.argv.index("--benchmark") :]
    at = next(place for place in range(0, len(words), 2) if not words[place].startswith("--"))
    command, options = words[at], words[at + 1 :]
    given = {"--benchmark": words[1], **dict(zip(options[::2], options[1::2], strict=True))}
    config = json.loads(Path(given["--benchmark"]).read_text(encoding="utf-8"))
    paths = {key: Path(value) for key, value in config["paths"].items()}
    results = paths["results"]
    outputs = {
        "fetch": lambda: [paths["raw"] / given["--source"] / "source.json"],
        "shard": lambda: [paths["shards"] / given["--dataset"] / given["--split"] / "manifest.json"],
        "check": lambda: [results / "data-checked.json"],
        "trunk": lambda: [
            results / "trunks" / given["--trunk"] / f"epoch{given['--epoch']}" / name
            for name in ("checkpoint.pt", "history.json")
        ],
        "pretrain": lambda: [
            results / "runs" / given["--run"] / name for name in ("checkpoint.pt", "history.json", "metrics.json")
        ],
        "evaluate": lambda: [results / "runs" / given["--run"] / "evaluations.json"],
        "tables": lambda: [
            results / name
            for name in (
                *("summary.parquet", "summary.csv", "summary_mean.csv"),
                *("significance.csv", "significance_overall.csv"),
            )
        ],
        "mlflow": lambda: [results / "mlflow-import.json"],
        "report": lambda: [results / "report.html"],
    }[command]()
    with Path(os.environ["STUB_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(json.dumps([command, *options, str(os.getpid())]) + "\n")
    if os.environ.get("STUB_SLEEP") == command:
        time.sleep(600)
    fail = os.environ.get("STUB_FAIL")
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        if fail and fail in " ".join(options):
            (path.parent / "resume-1.pt").write_text("half")
            print("error: the stub was told to fail", file=sys.stderr)
            return 2
        path.write_text("{}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
