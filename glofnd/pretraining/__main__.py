"""`python -m glofnd.pretraining`: train one run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from glofnd.pretraining.loop import pretrain


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m glofnd.pretraining", description="Pretrain one run.")
    parser.add_argument("--run-config", required=True, help="run config as JSON, or the path of a JSON file")
    parser.add_argument("--shards", required=True, type=Path, help="folder of the training split (manifest.json)")
    parser.add_argument("--out", required=True, type=Path, help="output folder")
    parser.add_argument("--from", dest="trunk", type=Path, help="trunk checkpoint to branch from")
    parser.add_argument("--until-epoch", type=int, help="stop after this many epochs (makes a trunk)")
    arguments = parser.parse_args()
    text = arguments.run_config
    try:
        config = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
        pretrain(config, arguments.shards, arguments.out, arguments.trunk, arguments.until_epoch)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
