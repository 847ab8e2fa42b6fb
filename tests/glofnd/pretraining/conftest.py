import io

import numpy
import pytest
from PIL import Image

from glofnd.data.split import Split
from glofnd.data.writer import write_shards

SAMPLES = 24


def _png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """24 coloured pictures of 4 classes with captions, 3 shards."""
    out = tmp_path_factory.mktemp("shards")
    generator = numpy.random.default_rng(0)
    labels = [i % 4 for i in range(SAMPLES)]
    pictures = [
        _png(numpy.clip(generator.normal(60 + 40 * k, 30, (16, 16, 3)), 0, 255).astype("uint8")) for k in labels
    ]
    split = Split(
        payloads=pictures,
        encode=bytes,
        labels={"label": labels},
        classes={"label": ["red", "green", "blue", "grey"]},
        captions=[[f"a picture of class {k}"] for k in labels],
        channels=3,
        extension="png",
    )
    head = {"dataset": "tiny", "split": "train", "image_size": 16}
    write_shards(split, out, shards=3, head=head, tail={"licence": "CC0", "source": {}, "config": {}})
    return out
