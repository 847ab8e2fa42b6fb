"""FastCLIP with GloFND around an open_clip model, on random pictures and captions.

    pip install open_clip_torch
    python examples/open_clip_model.py

The objective has its own temperature, so open_clip's `logit_scale` and `ClipLoss` are not used.
"""

from __future__ import annotations

import torch
from open_clip import CLIP, SimpleTokenizer

from glofnd import FastCLIPv3, GloFND

PAIRS, CONTEXT = 64, 16


def small_clip() -> CLIP:
    """An open_clip model small enough for a CPU."""
    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}
    text = {"context_length": CONTEXT, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    return CLIP(embed_dim=32, vision_cfg=vision, text_cfg=text)


def main(epochs: int = 2) -> float:
    """Train, and return the learned temperature."""
    torch.manual_seed(0)
    pictures = torch.rand(PAIRS, 3, 32, 32)
    captions = SimpleTokenizer(context_length=CONTEXT)([f"a picture of thing number {i % 16}" for i in range(PAIRS)])

    model = small_clip()
    detector = GloFND(num_samples=PAIRS, alpha=0.05, start_update=0, start_filter=1)
    objective = FastCLIPv3(num_samples=PAIRS, gamma_epochs=2, detector=detector)
    # The temperature is a parameter of the objective, with a learning rate of its own.
    optimizer = torch.optim.AdamW([{"params": model.parameters()}, *objective.parameter_groups()], lr=1e-3)

    for epoch in range(epochs):
        for index in torch.randperm(PAIRS).split(16):
            image, text = model.encode_image(pictures[index]), model.encode_text(captions[index])
            loss = objective(image, text, index, epoch=epoch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            objective.after_step()
        print(f"epoch {epoch}: loss {loss.item():.4f}, temperature {objective.temperature['image'].item():.4f}")
    thresholds = {name: detector.thresholds for name, detector in objective.detectors.items()}
    print("mean threshold:", {name: round(float(value.mean()), 3) for name, value in thresholds.items()})
    return objective.temperature["image"].item()


if __name__ == "__main__":
    main()
