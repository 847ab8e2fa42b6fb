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


def never():
    return False


def test_a_rank_without_a_sign_of_life_is_named():
    began = time.monotonic()
    with pytest.raises(LostRankError, match=r"^rank 1 has given no sign of life for 1 s$") as lost:
        Pulse(Counters(), 0, 2, silence=1).wait(never)
    assert time.monotonic() - began < 30
    assert is_lost(lost.value)


def test_one_that_is_alive_is_waited_for():
    store, ready = Counters(), threading.Event()
    Pulse(store, 1, 2, silence=1)
    threading.Timer(2.5, ready.set).start()
    began = time.monotonic()
    Pulse(store, 0, 2, silence=1).wait(ready.is_set)
    assert time.monotonic() - began > 2


def test_but_not_for_ever():
    store = Counters()
    Pulse(store, 1, 2)
    with pytest.raises(LostRankError, match=r"^the others have not come after 0:00:01$"):
        Pulse(store, 0, 2, patience=1).wait(never)


def test_time_in_which_this_process_was_stopped_does_not_count(monkeypatch):
    """As of a job that is suspended as a whole: when it goes on, the others have been silent for long, too."""
    leaps, real, passed = iter([0.0, 0.0, 1000.0]), time.monotonic, [0.0]

    def clock():
        passed[0] += next(leaps, 0.0)
        return real() + passed[0]

    ready = threading.Event()
    threading.Timer(1, ready.set).start()
    monkeypatch.setattr("glofnd.pretraining.pulse.time.monotonic", clock)
    Pulse(Counters(), 0, 2, silence=30).wait(ready.is_set)
    assert passed[0] == 1000


def test_without_the_store_which_is_the_launchers_waiting_goes_on(capfd):
    class Gone(Counters):
        def add(self, key, amount):
            raise RuntimeError("connection reset by peer")

    ready = threading.Event()
    threading.Timer(1, ready.set).start()
    Pulse(Gone(), 0, 2, silence=0.3).wait(ready.is_set)
    assert "connection reset" not in capfd.readouterr().err


def test_it_has_stopped_when_it_is_closed():
    store = Counters()
    pulse = Pulse(store, 0, 2, silence=0.4)
    pulse.close()
    assert not pulse._thread.is_alive()
    beats = store.values["beat/0"]
    time.sleep(0.3)
    assert store.values["beat/0"] == beats == 1
