"""Waiting for the other processes of a run ends: with them, or with what is wrong with them."""

import threading
import time
from collections import Counter

import pytest

from glofnd.pretraining.pulse import LostRankError, Pulse
from glofnd.pretraining.team import is_lost


class Counters:
    """A store of this process."""

    def __init__(self):
        self.values, self.lock = Counter(), threading.Lock()

    def add(self, key, amount):
        with self.lock:
            self.values[key] += amount
            return self.values[key]


def test_nobody_goes_on_before_all_are_here():
    store, size, rounds, here = Counters(), 3, 20, Counter()
    problems = []

    def work(rank):
        pulse = Pulse(store, rank, size)
        for number in range(rounds):
            time.sleep(0.001 * rank)
            here[number] += 1
            pulse.meet()
            if here[number] != size:
                problems.append((rank, number))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not problems


def test_a_rank_without_a_sign_of_life_is_named():
    began = time.monotonic()
    with pytest.raises(LostRankError, match=r"^rank 1 has given no sign of life for 1 s$") as lost:
        Pulse(Counters(), 0, 2, silence=1).meet()
    assert time.monotonic() - began < 5
    assert is_lost(lost.value)


def test_one_that_is_alive_is_waited_for():
    store = Counters()
    busy = Pulse(store, 1, 2, silence=0.4)
    threading.Timer(1.5, busy.meet).start()
    began = time.monotonic()
    Pulse(store, 0, 2, silence=0.4).meet()
    assert time.monotonic() - began > 1.2


def test_but_not_for_ever():
    store = Counters()
    Pulse(store, 1, 2)
    with pytest.raises(LostRankError, match=r"^1 of 2 ranks are here after 0:00:01 of waiting$"):
        Pulse(store, 0, 2, patience=1).meet()


def test_time_in_which_this_process_was_stopped_does_not_count(monkeypatch):
    """As of a job that is suspended as a whole: when it goes on, the others have been silent for long, too."""
    store = Counters()
    other = Pulse(store, 1, 2, silence=2)
    leaps, real = iter([0.0, 0.0, 1000.0]), time.monotonic
    passed = [0.0]

    def clock():
        passed[0] += next(leaps, 0.0)
        return real() + passed[0]

    monkeypatch.setattr("glofnd.pretraining.pulse.time.monotonic", clock)
    threading.Timer(1, other.meet).start()
    Pulse(store, 0, 2, silence=2).meet()
    assert passed[0] == 1000


def test_a_store_that_is_gone_ends_the_thread_quietly(capfd):
    class Gone(Counters):
        def add(self, key, amount):
            raise RuntimeError("connection reset by peer")

    Pulse(Gone(), 0, 2)
    time.sleep(0.2)
    assert "connection reset" not in capfd.readouterr().err
