"""The fingerprint of the user's own files changes with them, and with nothing else."""

import os
from pathlib import Path

from workflow.own_files import fingerprint


def test_every_change_of_a_data_set_shows_and_nothing_else(tmp_path: Path) -> None:
    root, listed = tmp_path / "pictures", tmp_path / "classes.txt"
    for name in ("train/ant/0.png", "train/bee/0.png", "val/ant/0.png", "shards/mine/manifest.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("picture")
    listed.write_text("ant\nbee\n")
    (root / "again").symlink_to(root)

    def now() -> str:
        return fingerprint(root, str(listed), [str(root / "shards"), str(tmp_path / "results")])

    seen = [now()]
    assert seen[0].startswith("3 files, 21 bytes, ")

    def changed() -> bool:
        seen.append(now())
        return seen[-1] not in seen[:-1]

    (root / "shards/mine/manifest.json").write_text("other")
    (root / "train/.ipynb_checkpoints").mkdir()
    (root / "train/.DS_Store").write_text("")
    os.utime(listed)
    assert not changed()
    (root / "train/ant/1.png").write_text("picture")
    assert changed()
    (root / "train/ant/1.png").rename(root / "train/bee/1.png")
    assert changed()
    os.utime(root / "train/bee/1.png", ns=(1, 1))
    assert changed()
    listed.write_text("bee\nant\n")
    assert changed()
    (root / "train/cat").mkdir()
    assert changed()
