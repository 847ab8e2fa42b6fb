from dataclasses import replace
from itertools import chain

import pytest
import torch
from tiny_data import picture, tiny_split, write

from glofnd.data.manifest import ManifestError
from glofnd.data.split import BadSampleError, BadSamples
from glofnd.data.stream import ShardStream


def indices(batches):
    return [batch.index.tolist() for batch in batches]


def test_every_sample_once_an_epoch(shards):
    stream = ShardStream(shards, batch_size=4, seed=1, drop_last=False)
    assert stream.samples == 22 and stream.batches_per_epoch == 6
    for epoch in range(3):
        assert sorted(chain(*indices(stream.epoch(epoch)))) == list(range(22))


def test_batches_carry_the_samples_own_picture_and_labels(shards):
    for batch in ShardStream(shards, batch_size=4, seed=1).epoch(0):
        assert batch.images.shape == (4, 3, 8, 8) and batch.images.dtype == torch.uint8
        assert (batch.images == batch.index.view(-1, 1, 1, 1)).all()
        assert torch.equal(batch.labels["label"], batch.index % 3)
        assert torch.equal(batch.labels["half"], (batch.index >= 11).long())
        for index, caption in zip(batch.index.tolist(), batch.captions, strict=True):
            assert caption in {f"text {index % 3}", f"other {index}", f"third {index}"}


def test_order_is_set_by_seed_and_epoch_alone(shards, tmp_path):
    def order(folder=shards, seed=1, epoch=0, **options):
        return indices(ShardStream(folder, batch_size=4, seed=seed, **options).epoch(epoch))

    write(tiny_split(), tmp_path / "other", shards=7)
    assert order() == order() == order(workers=3) == order(cache_bytes=0) == order(cache_bytes=0, workers=3)
    assert order() == order(folder=tmp_path / "other")
    assert order() != order(seed=2) and order() != order(epoch=1)
    plain, other = (ShardStream(shards, batch_size=5, seed=3, **o) for o in ({}, {"workers": 2, "cache_bytes": 0}))
    for a, b in zip(plain.epoch(2), other.epoch(2), strict=True):
        assert torch.equal(a.images, b.images) and a.captions == b.captions


@pytest.mark.parametrize("drop_last", [True, False])
def test_ranks_share_each_global_batch_in_contiguous_parts(shards, drop_last):
    whole = indices(ShardStream(shards, batch_size=6, seed=1, drop_last=drop_last).epoch(0))
    parts = [
        indices(ShardStream(shards, batch_size=6, seed=1, rank=r, world=3, drop_last=drop_last).epoch(0))
        for r in range(3)
    ]
    assert [list(chain(*batch)) for batch in zip(*parts, strict=True)] == whole
    assert {len(part[0]) for part in parts} == {2}


def test_an_epoch_can_start_at_any_batch(shards):
    stream = ShardStream(shards, batch_size=4, seed=1)
    everything = list(stream.epoch(1))
    resumed = list(stream.epoch(1, start_batch=3))
    assert indices(resumed) == indices(everything[3:])
    assert [batch.captions for batch in resumed] == [batch.captions for batch in everything[3:]]
    assert list(stream.epoch(1, start_batch=5)) == []


def test_captions_are_chosen_by_seed_epoch_and_index(shards):
    def chosen(seed, epoch, size):
        stream = ShardStream(shards, batch_size=size, seed=seed, drop_last=False)
        return {i: c for b in stream.epoch(epoch) for i, c in zip(b.index.tolist(), b.captions, strict=True)}

    assert chosen(1, 0, 4) == chosen(1, 0, 22)
    assert chosen(1, 0, 4) != chosen(1, 1, 4)
    assert chosen(1, 0, 4) != chosen(2, 0, 4)
    kinds = [caption.split()[0] for epoch in range(30) for caption in chosen(1, epoch, 22).values()]
    assert all(abs(kinds.count(kind) / len(kinds) - 1 / 3) < 0.06 for kind in ("text", "other", "third"))


def test_in_order_is_by_index_and_takes_first_captions(shards):
    stream = ShardStream(shards, batch_size=4, seed=1)
    batches = list(stream.in_order(5))
    assert list(chain(*indices(batches))) == list(range(22)) and len(batches) == 5
    assert list(chain(*(batch.captions for batch in batches))) == [f"text {i % 3}" for i in range(22)]
    assert stream.captions()[4] == ["text 1", "other 4", "third 4"]


def test_grey_pictures_are_repeated_without_a_copy(tmp_path):
    write(tiny_split(channels=1, captions=False), tmp_path)
    batch = next(ShardStream(tmp_path, batch_size=4, seed=1).epoch(0))
    assert batch.images.shape == (4, 3, 8, 8) and batch.images.stride(1) == 0
    assert batch.captions is None
    one = next(ShardStream(tmp_path, batch_size=4, seed=1, channels=1).epoch(0))
    assert one.images.shape == (4, 1, 8, 8) and torch.equal(one.images[:, 0], batch.images[:, 2])


def test_arguments_that_do_not_fit_are_refused(shards):
    with pytest.raises(ValueError, match="batch_size 5 does not divide among 2 ranks"):
        ShardStream(shards, batch_size=5, seed=1, world=2)
    with pytest.raises(ValueError, match="batch_size 23 exceeds the 22 samples"):
        ShardStream(shards, batch_size=23, seed=1)
    with pytest.raises(ValueError, match="in colour"):
        ShardStream(shards, batch_size=4, seed=1, channels=1)


def test_a_truncated_tar_is_named_even_unverified(shards):
    path = shards / "000002.tar"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ManifestError, match=r"000002.tar: sample 0000000\d\d: .*truncated"):
        list(ShardStream(shards, batch_size=4, seed=1, verify=False).in_order(4))


@pytest.mark.parametrize("window", [1, 2, 3, 9])
def test_windows_of_shards_one_after_the_other(tmp_path, window):
    split = replace(tiny_split(), payloads=range(22), encode=all_but_four, bad_samples=BadSamples("skip", 0.1))
    write(split, tmp_path, shards=5)
    stream = ShardStream(tmp_path, batch_size=4, seed=1, drop_last=False, window=window, cache_bytes=0, workers=2)
    kept = [n for n in range(22) if n != 4]
    assert indices(stream.in_order(21)) == [kept]
    orders = set()
    for epoch in range(3):
        batches = indices(stream.epoch(epoch))
        order = list(chain(*batches))
        assert sorted(order) == kept
        orders.add(tuple(order))
        assert indices(stream.epoch(epoch, start_batch=3)) == batches[3:]
        shares = [
            indices(ShardStream(tmp_path, batch_size=4, seed=1, window=window, rank=r, world=2).epoch(epoch))
            for r in (0, 1)
        ]
        assert [a + b for a, b in zip(*shares, strict=True)] == batches[:5]
        # Each shard's samples lie within a stretch as long as a window.
        for shard in stream.manifest.shards:
            places = [order.index(n) for n in range(shard.first_index, shard.first_index + 4) if n != 4]
            assert max(places) - min(places) < 5 * window
    assert len(orders) == 3


def all_but_four(payload):
    if payload == 4:
        raise BadSampleError("four.png", "does not decode")
    return picture(payload)
