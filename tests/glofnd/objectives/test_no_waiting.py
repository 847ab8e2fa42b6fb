"""A step reads no number back, for which the host would have to wait for a GPU; here a CPU plays the GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from glofnd import state
from glofnd.objectives import engine, inputs, objective
from tests.glofnd.objectives.common import EVERY, draw, make

READING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_consecutive", "unique_dim")


class Reads(TorchDispatchMode):
    """Notes what gives the host a number, or a shape that depends on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.found = list[str]()

    def __torch_dispatch__(self, called: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        masks = given[1] if called.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put_) else ()
        if called.overloadpacket.__name__ in READING or any(m is not None and m.dtype == torch.bool for m in masks):
            self.found.append(str(called))
        return called(*given, **(named or {}))


def reads(work: Callable[[], object]) -> list[str]:
    with Reads() as mode:
        work()
    return mode.found


def test_the_watch_sees() -> None:
    x = torch.tensor([1.0, 2.0])
    assert all(reads(work) for work in (lambda: float(x.sum()), lambda: x[x > 1], lambda: torch.unique(x)))
    assert not reads(lambda: x[torch.tensor([0])])


@pytest.mark.parametrize(("name", "detector"), EVERY)
def test_a_step_reads_nothing(monkeypatch, name, detector) -> None:
    for module in (inputs, objective, engine, state):
        monkeypatch.setattr(module, "on_host", lambda _: False)
    built = make(name, detector).float().train()
    for epoch in (0, 1, 2, 2):  # what is done once an epoch may wait
        z, index = draw(seed=epoch)
        leaves = [x.float().requires_grad_() for x in z]

        def step(leaves=leaves, index=index, epoch=epoch) -> None:
            built(*leaves, index, epoch=epoch, labels=index % 3).backward()
            built.after_step()

        found = reads(step)
    assert found == []
