import subprocess
import sys

import pytest

import glofnd


def test_the_classes_are_listed_and_importable():
    assert {"GloFND", "SogCLR", "SigLIP"} <= set(dir(glofnd))
    assert all(getattr(glofnd, name) is not None for name in glofnd.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        _ = glofnd.Nonsense


def test_the_method_needs_torch_alone():
    code = (
        "import sys, glofnd; [getattr(glofnd, name) for name in glofnd.__all__]; "
        "sys.exit(str([m for m in ('torchvision', 'open_clip', 'webdataset', 'scipy', 'pandas') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
