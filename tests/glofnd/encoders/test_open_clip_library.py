import subprocess
import sys

import pytest

SCRIPT = """
import sys
from glofnd.encoders.bimodal import open_clip_model
open_clip_model("glofnd-test")
print(*(name in sys.modules for name in ("timm", "transformers")))
import timm, transformers
from glofnd.encoders.open_clip_library import open_clip_for
library = open_clip_for("convnext_base")
print(library.timm_model.timm is timm, library is open_clip_for("glofnd-test"))
"""


def test_other_models_packages_are_imported_only_for_them():
    pytest.importorskip("transformers")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True", "True"]
