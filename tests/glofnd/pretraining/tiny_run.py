from glofnd.registry import DETECTORS, ENCODERS, OBJECTIVES, TRAINING, VIEWS, with_defaults

BATCH = 8


def _views(**changes):
    return {**{key: schema["default"] for key, schema in VIEWS.items()}, "size": 16, **changes}


def make_config(objective="sogclr", detector="none", modality="unimodal", seed=1, epochs=3, training=(), **options):
    """A run config as the workflow resolves it; `options` go to the detector."""
    if modality == "unimodal":
        parameters = {"width": 4, "stem": "small", "projector_hidden": 8, "projector_dim": 6}
        encoder = {"name": "resnet18", **with_defaults(ENCODERS["resnet18"], parameters)}
    else:
        encoder = {"name": "open-clip", "model": "glofnd-test"}
    defaults = {key: schema["default"] for key, schema in TRAINING.items()}
    return {
        "run": f"tiny/{objective}/{detector}/seed{seed}",
        "experiment": "tiny",
        "modality": modality,
        "seed": seed,
        "dataset": "tiny",
        "label": "label",
        "encoder": encoder,
        "views": _views(size=16 if modality == "unimodal" else 32),
        "training": {**defaults, "epochs": epochs, "batch_size": BATCH, "inspect_every": 1, **dict(training)},
        "objective": {"label": objective, "method": objective, **with_defaults(OBJECTIVES[objective], {})},
        "detector": {"label": detector, "method": detector, **with_defaults(DETECTORS[detector], options)},
    }
