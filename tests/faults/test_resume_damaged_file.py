"""A rolling checkpoint that is damaged in any way is said to be, in one line, and never gives wrong numbers."""

import json
import random
import re

import pytest
import torch

from glofnd import checkpoint
from glofnd.pretraining import pretrain
from glofnd.pretraining.__main__ import main
from glofnd.pretraining.preemption import Preempted, Preemption
from glofnd.pretraining.team import Team
from tests.faults.tiny_training import register, tiny_config
from tests.glofnd.pretraining.tiny_run import assert_same, numbers, run, write_tiny


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    register(monkeypatch)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("shards"), shards=3)


CONFIG = ("sogclr", "glofnd")


@pytest.fixture
def stopped(monkeypatch, shards, tmp_path):
    """The rolling checkpoint of a run stopped after its first step."""
    with monkeypatch.context() as patch:
        patch.setattr(Preemption, "requested", True)
        with pytest.raises(Preempted):
            pretrain(tiny_config(*CONFIG), shards, tmp_path / "out")
    (path,) = (tmp_path / "out").glob("resume-*.pt")
    return path


def flipped(content, position, bit):
    return content[:position] + bytes([content[position] ^ (1 << bit)]) + content[position + 1 :]


def test_a_flipped_bit_anywhere_is_found_or_changes_no_number(stopped, tmp_path):
    content, whole = stopped.read_bytes(), checkpoint.read(stopped)
    expected, path, chance = numbers(whole), tmp_path / "damaged.pt", random.Random(0)
    # The directory of the archive is at its end; what is between its parts is padding.
    places = [*range(80), *range(len(content) - 200, len(content)), *chance.choices(range(len(content)), k=300)]
    found = 0
    for position in places:
        path.write_bytes(flipped(content, position, chance.randrange(8)))
        try:
            state = checkpoint.read(path)
        except checkpoint.CheckpointError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            found += 1
            continue
        got = numbers(state)
        assert got.keys() == expected.keys(), position
        for key, value in got.items():
            same = torch.equal(value, expected[key]) if torch.is_tensor(value) else value == expected[key]
            assert same, (position, key)
        assert (state["config"], state["epoch"], state["step"]) == (whole["config"], whole["epoch"], whole["step"])
    assert found > len(places) / 3


def test_a_file_cut_off_at_any_length_is_found(stopped, tmp_path):
    content, path, chance = stopped.read_bytes(), tmp_path / "damaged.pt", random.Random(1)
    for length in [*range(40), *range(len(content) - 60, len(content)), *chance.choices(range(len(content)), k=100)]:
        path.write_bytes(content[:length])
        with pytest.raises(checkpoint.CheckpointError, match=r"damaged\.pt: damaged checkpoint \(.+\); delete it"):
            checkpoint.read(path)


def other_format(path):
    checkpoint.write(path, {**checkpoint.read(path), "format": 99})


def weights_flipped(path):
    content = path.read_bytes()
    weight = checkpoint.read(path)["model"]["image.1.weight"].numpy().tobytes()
    path.write_bytes(flipped(content, content.index(weight) + 100, 3))


NO_ZIP = r"damaged checkpoint \(no whole zip archive: .+\)"
DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), NO_ZIP),
    "cut off": (
        lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        r"damaged checkpoint \(no whole zip archive: .+\)",
    ),
    "a bit flipped in the weights": (
        weights_flipped,
        r"damaged checkpoint \(.+/data/\d+ does not match its checksum\)",
    ),
    "text": (lambda path: path.write_text("not today\n"), NO_ZIP),
    "another format": (other_format, r"checkpoint format 99, this version reads 1"),
    "something else": (lambda path: torch.save({"a": 1}, path), r"not a checkpoint of this project"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_training_says_so_and_starts_anew(stopped, shards, tmp_path, capsys, kind):
    damage, reason = DAMAGE[kind]
    config = tiny_config(*CONFIG)
    whole = run(config, shards, tmp_path / "whole")
    damage(stopped)
    capsys.readouterr()
    assert_same(whole, run(config, shards, stopped.parent))
    said = capsys.readouterr().err
    assert re.search(rf"^{re.escape(stopped.name)} is not used: {reason}; training starts anew$", said, re.MULTILINE)
    assert said.count("not used") == 1
    assert sorted(path.name for path in stopped.parent.iterdir()) == ["checkpoint.pt", "history.json", "metrics.json"]


def test_a_branch_starts_from_its_trunk(monkeypatch, shards, tmp_path, capsys):
    run(tiny_config("sogclr"), shards, tmp_path / "trunk", until_epoch=1)
    trunk, config, out = tmp_path / "trunk" / "checkpoint.pt", tiny_config(*CONFIG), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Preemption, "requested", True)
        with pytest.raises(Preempted, match="after step 3;"):
            pretrain(config, shards, out, trunk=trunk)
    weights_flipped(next(out.glob("resume-*.pt")))
    assert_same(run(config, shards, tmp_path / "whole"), run(config, shards, out, trunk=trunk))
    assert "training starts anew" in capsys.readouterr().err


def command(monkeypatch, capsys, config, shards, out, *options):
    """Exit code and messages of the command."""
    arguments = ["--run-config", json.dumps(config), "--shards", str(shards), "--out", str(out), *map(str, options)]
    monkeypatch.setattr("sys.argv", ["pretraining", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err


def test_a_damaged_trunk_is_refused(monkeypatch, shards, tmp_path, capsys):
    run(tiny_config("sogclr"), shards, tmp_path / "trunk", until_epoch=1)
    trunk = tmp_path / "trunk" / "checkpoint.pt"
    weights_flipped(trunk)
    capsys.readouterr()
    code, said = command(monkeypatch, capsys, tiny_config(*CONFIG), shards, tmp_path / "out", "--from", trunk)
    assert code == 2
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert re.search(r"trunk/checkpoint\.pt: damaged checkpoint \(.+ does not match its checksum\); delete it", line)


def test_a_folder_in_its_place_is_refused(monkeypatch, stopped, shards, tmp_path, capsys):
    stopped.unlink()
    stopped.mkdir()
    code, said = command(monkeypatch, capsys, tiny_config(*CONFIG), shards, stopped.parent)
    assert code == 2
    assert f"error: {stopped}: is a folder, where the rolling checkpoint is to be written; remove it" in said
    assert "Traceback" not in said


def test_a_folder_of_a_like_name_is_left_alone(shards, tmp_path):
    (tmp_path / "resume-of-mine.pt").mkdir()
    run(tiny_config("sogclr"), shards, tmp_path)
    assert (tmp_path / "resume-of-mine.pt").is_dir()


def test_a_model_of_another_version_of_the_code_is_refused(stopped, shards):
    state = checkpoint.read(stopped)
    state["model"]["head.weight"] = state["model"]["head.weight"][:, :5]
    checkpoint.write(stopped, state)
    with pytest.raises(
        ValueError, match=r"does not fit this version \(.*head\.weight.*\); delete it and run again"
    ) as e:
        pretrain(tiny_config(*CONFIG), shards, stopped.parent)
    assert "\n" not in str(e.value)


class TeamOfTwo(Team):
    """This process alone, but another is believed to answer; notes what is asked of both."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.asked = iter(answers), []

    def meet(self):
        self.asked.append("meet")

    def agree(self, wish):
        self.asked.append("agree")
        return max(wish, next(self.answers, 0))


def test_one_that_another_rank_cannot_read_is_used_by_none(stopped, shards, tmp_path, capsys):
    config = tiny_config(*CONFIG)
    whole = run(config, shards, tmp_path / "whole")
    capsys.readouterr()
    assert_same(whole, run(config, shards, stopped.parent, team=TeamOfTwo(0, 1)))
    assert f"{stopped.name} is not used: another rank cannot read it; training starts anew" in capsys.readouterr().err


def test_ranks_meet_before_they_agree_on_it(shards, tmp_path, stopped):
    """One of them has checked all shards before, or reads more slowly: that may take longer than a step."""
    team = TeamOfTwo()
    run(tiny_config(*CONFIG), shards, stopped.parent, team=team)
    assert team.asked[:5] == ["meet", "agree", "meet", "agree", "meet"]
