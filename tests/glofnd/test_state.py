import pytest
import torch

from glofnd.state import SampleState


def test_repeated_samples_keep_the_mean_and_others_are_left_alone():
    state = SampleState(5, value=7.0)
    state.write(torch.tensor([1, 3, 1, 1]), {"value": torch.tensor([1.0, 5.0, 2.0, 6.0])})
    assert state.column("value").tolist() == [7.0, 3.0, 7.0, 5.0, 7.0]


def test_invalid_occurrences_do_not_count():
    state = SampleState(3, value=7.0)
    state.write(torch.tensor([0, 0, 1]), {"value": torch.tensor([1.0, 9.0, 2.0])}, torch.tensor([True, False, False]))
    assert state.column("value").tolist() == [1.0, 7.0, 7.0]


def test_columns_of_vectors():
    state = SampleState(4, value=7.0, vector=torch.tensor([1.0, 2.0]))
    index, vectors = torch.tensor([1, 3, 1]), torch.tensor([[1.0, 5.0], [2.0, 2.0], [3.0, 9.0]])
    state.write(index, {"vector": vectors}, torch.tensor([True, True, True]))
    assert state.read(index)["vector"].tolist() == [[2.0, 7.0], [2.0, 2.0], [2.0, 7.0]]
    assert state.column("vector")[0].tolist() == [1.0, 2.0] and state.bytes_per_sample == 12
    state.fill("vector", 2 * state.whole("vector"))
    assert state.column("vector")[1].tolist() == [4.0, 14.0]
    with pytest.raises(ValueError, match=r"4 values are needed, one per sample; got \(4,\)"):
        state.fill("vector", torch.zeros(4))
