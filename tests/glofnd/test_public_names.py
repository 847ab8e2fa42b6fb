import subprocess
import sys

import glofnd


def test_every_public_name_can_be_imported():
    for name in glofnd.__all__:
        assert getattr(glofnd, name) is not None


def test_an_unknown_name():
    try:
        _ = glofnd.Nonsense
    except AttributeError as error:
        assert "has no attribute 'Nonsense'" in str(error)
    else:
        raise AssertionError("no error")


def test_the_method_needs_torch_alone():
    code = (
        "import sys, glofnd; [getattr(glofnd, name) for name in glofnd.__all__]; "
        "sys.exit(str([m for m in ('torchvision', 'open_clip', 'webdataset', 'scipy', 'pandas') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
