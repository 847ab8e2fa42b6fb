"""GloFND in a lightly training loop: replace `NTXentLoss`, and pass the samples' indices.

    pip install lightly torchvision
    python examples/lightly_model.py

lightly's `LightlyDataset` yields (views, label, file name); wrap it, or any data set, so that it yields the index too.
"""

from __future__ import annotations

import torch
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import FakeData
from torchvision.models import resnet18

from glofnd import GloFND, SimCLR


class Indexed(Dataset[tuple[list[Tensor], int]]):
    """Views of a sample together with its index."""

    def __init__(self, dataset: Dataset[tuple[list[Tensor], int]]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[list[Tensor], int]:
        return self.dataset[index][0], index


class Model(nn.Module):
    """ResNet-18 with lightly's projection head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet18()
        self.backbone.fc = nn.Identity()
        self.projection_head = SimCLRProjectionHead(512, 512, 128)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, 128]."""
        return self.projection_head(self.backbone(x))


def main(samples: int = 64, epochs: int = 2) -> float:
    """Train, and return the last loss."""
    torch.manual_seed(0)
    pictures = FakeData(samples, image_size=(3, 32, 32), transform=SimCLRTransform(input_size=32, gaussian_blur=0.0))
    loader = DataLoader(Indexed(pictures), batch_size=16, shuffle=True, drop_last=True)
    model = Model()
    objective = SimCLR(num_samples=samples, temperature=0.1, detector=GloFND(num_samples=samples, alpha=0.05))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9)
    value = 0.0
    for epoch in range(epochs):
        for (view1, view2), index in loader:
            loss = objective(model(view1), model(view2), index, epoch=epoch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = loss.item()
        print(f"epoch {epoch}: loss {value:.4f}")
    return value


if __name__ == "__main__":
    main()
