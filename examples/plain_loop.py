"""SogCLR with learned thresholds in a plain PyTorch loop, on clusters of random vectors.

    pip install .
    python examples/plain_loop.py

Three lines of it are about false negatives: the detector, the objective, and the call with the samples' indices.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from glofnd import LocationScale, SogCLR

SAMPLES, CLASSES, DIM = 512, 8, 32


def main(epochs: int = 10) -> float:
    """Train, and return the share of dropped negatives that do share the anchor's class."""
    torch.manual_seed(0)
    labels = torch.arange(SAMPLES) % CLASSES
    data = 3 * torch.randn(CLASSES, DIM)[labels] + torch.randn(SAMPLES, DIM)
    # A data set has to tell which sample is which: thresholds belong to samples.
    loader = DataLoader(TensorDataset(data, torch.arange(SAMPLES)), batch_size=64, shuffle=True, drop_last=True)

    model = nn.Sequential(nn.Linear(DIM, 64), nn.ReLU(), nn.Linear(64, 16))
    detector = LocationScale(num_samples=SAMPLES, alpha=0.1, start_update=1, start_filter=3)
    objective = SogCLR(num_samples=SAMPLES, temperature=0.2, detector=detector)
    optimizer = torch.optim.AdamW([{"params": model.parameters()}, *objective.parameter_groups()], lr=1e-3)

    for epoch in range(epochs):
        total = 0.0
        for x, index in loader:
            z1, z2 = (model(x + 0.5 * torch.randn_like(x)) for _ in range(2))
            loss = objective(z1, z2, index, epoch=epoch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            objective.after_step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(loader):.4f}")

    # What the detector does is computed only when asked for.
    with torch.no_grad():
        z = model(data)
    seen = objective.inspect(z, z, torch.arange(SAMPLES))["image"]
    same_class = labels[seen.anchor][:, None] == labels[seen.candidate]
    share, precision = seen.dropped[seen.negative].float().mean(), same_class[seen.dropped].float().mean()
    print(f"dropped {share:.1%} of the negatives, {precision:.1%} of them of the anchor's own class")
    return float(precision)


if __name__ == "__main__":
    main()
