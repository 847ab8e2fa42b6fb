import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from glofnd.counter_random import Shuffle, permutation, philox, step_seed, uniform


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_philox4x32_10(counter, key, expected):
    """Test vectors of the Random123 distribution (kat_vectors)."""
    assert tuple(int(word) for word in philox(counter, key)) == expected


def test_a_row_depends_on_its_own_index_alone():
    index = np.array([5, 2**40 + 5, 0, 7])
    whole = uniform(index, 9, seed=3, epoch=2, stream=1)
    assert whole.shape == (4, 9) and whole.min() >= 0 and whole.max() < 1
    for row, value in enumerate(index):
        assert (uniform(np.array([value]), 9, seed=3, epoch=2, stream=1) == whole[row]).all()
    assert (uniform(index, 5, seed=3, epoch=2, stream=1) == whole[:, :5]).all()
    assert len(np.unique(whole)) == whole.size


@pytest.mark.parametrize("change", [{"seed": 4}, {"epoch": 3}, {"stream": 2}])
def test_seed_epoch_and_stream_matter(change):
    index = np.arange(50)
    same = {"seed": 3, "epoch": 2, "stream": 1}
    plain, other = uniform(index, 8, **same), uniform(index, 8, **{**same, **change})
    assert (plain != other).all()
    assert abs(np.corrcoef(plain.ravel(), other.ravel())[0, 1]) < 0.2


def test_numbers_are_uniform_and_uncorrelated():
    numbers = uniform(np.arange(4000), 8, seed=1, epoch=0, stream=0)
    assert kstest(numbers.ravel(), "uniform").pvalue > 0.01
    correlation = np.corrcoef(numbers.T) - np.eye(8)
    assert abs(correlation).max() < 0.07


def test_permutations():
    orders = [permutation(500, seed=s, epoch=e, stream=t) for s in (0, 1) for e in (0, 1) for t in (0, 1)]
    for order in orders:
        assert (np.sort(order) == np.arange(500)).all()
    assert len({order.tobytes() for order in orders}) == 8
    assert (permutation(500, seed=1, epoch=1, stream=1) == orders[-1]).all()
    assert permutation(0, seed=0).shape == (0,)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 22, 1000, 4096])
def test_a_shuffle_is_a_permutation_and_knows_its_inverse(count):
    orders = set()
    for seed, epoch, stream in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        shuffle = Shuffle(count, seed=seed, epoch=epoch, stream=stream)
        order = shuffle.at(np.arange(count))
        assert (np.sort(order) == np.arange(count)).all()
        assert (shuffle.places(order) == np.arange(count)).all()
        assert (shuffle.at(np.arange(count)[::-7]) == order[::-7]).all()
        orders.add(order.tobytes())
    assert count < 22 or len(orders) == 4


@pytest.mark.parametrize("count", [6, 50])
def test_shuffles_are_uniform(count):
    """Where the first and last go, how far neighbours part, and how many stay: as for random permutations."""
    orders = np.array(
        [Shuffle(count, seed=s, epoch=e, stream=3).at(np.arange(count)) for s in range(100) for e in range(30)]
    )
    for place in (0, count - 1):
        assert chisquare(np.bincount(orders[:, place], minlength=count)).pvalue > 0.001
    steps = (orders[:, 1] - orders[:, 0]) % count
    assert chisquare(np.bincount(steps, minlength=count)[1:]).pvalue > 0.001
    assert abs((orders == np.arange(count)).sum(1).mean() - 1) < 0.08


def test_a_part_of_a_very_long_order_costs_little():
    shuffle = Shuffle(10**15, seed=1, epoch=2, stream=3)
    part = shuffle.at(np.arange(10**14, 10**14 + 1000))
    assert len(set(part.tolist())) == 1000 and part.min() >= 0 and part.max() < 10**15
    assert kstest(part / 10**15, "uniform").pvalue > 0.01


def test_seeds_of_steps_are_unrelated():
    """Where seed * 1,000,003 + step was the rule, step 1,000,003 of seed 1 was step 0 of seed 2."""
    assert step_seed(1, 1_000_003, stream=1) != step_seed(2, 0, stream=1)
    cases = [(s, t, r) for s in range(8) for t in (*range(500), 1_000_003, 2**32, 2**32 + 1) for r in (0, 1, 1000)]
    low = {step_seed(s, t, r, stream=1) & 0xFFFFFFFF for s, t, r in cases}
    assert len(low) >= len(cases) - 1  # one collision among 12,000 of 2^32 has a chance of 2 %
    assert step_seed(3, 4, 5, stream=6) == step_seed(3, 4, 5, stream=6)
    assert max(step_seed(0, t, stream=0) for t in range(64)) >= 2**60
