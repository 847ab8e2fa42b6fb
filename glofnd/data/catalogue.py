"""What can be fetched and sharded.

A data set's options are declared in the signature of its builder (`glofnd.parameters`). A new data set is one file and
one entry here (docs/add-a-dataset.md); docs/datasets.md lists what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from glofnd.data.datasets.captions import coco_captions, flickr30k
from glofnd.data.datasets.cifar import cifar10, cifar100
from glofnd.data.datasets.emoji import emoji
from glofnd.data.datasets.folder import folder, imagenet100
from glofnd.data.datasets.glyphs import SPLITS as GLYPH_SPLITS
from glofnd.data.datasets.glyphs import glyphs
from glofnd.data.datasets.grey import digits, fashion_mnist, mnist
from glofnd.data.datasets.tars import cc3m, webdataset
from glofnd.data.datasets.torchvision_sets import caltech101, dtd, flowers102, food101, oxford_pets, stanford_cars
from glofnd.data.emoji_groups import GROUPS
from glofnd.data.sources.archives import fetcher
from glofnd.data.sources.emoji import fetch as fetch_emoji
from glofnd.data.sources.fashion_mnist import fetch as fetch_fashion_mnist
from glofnd.data.sources.installed import fetch_digits, fetch_mnist
from glofnd.data.sources.typefaces import fetch as fetch_typefaces
from glofnd.data.split import Split
from glofnd.parameters import REQUIRED, parameters

__all__ = ["DATASETS", "Dataset", "configured", "problems", "resolved", "sources"]


@dataclass(frozen=True)
class Dataset:
    """A data set and where it comes from.

    Attributes:
        build: `build(split=, path=, **options) -> Split`; its described parameters are the data set's options, and
            `path` is the folder of the source, or of the user's own files.
        source: what it is made from, fetched once into `{raw}/{source}`; None: the user's own files, in `path`.
        licence: of the source.
        homepage: of the source.
        fetch: `fetch(out)` leaves verified files in `out` and returns what `source.json` states about them besides
            their checksums; `files`, their paths below `out`, is required.
        label: field that says what a picture shows: the default truth for false negatives and for a linear probe.
        labels: all label fields.
        class_names: field whose names make zero-shot prompts, with the templates of the file `templates`.
        metric: the usual score, "top1" or "mean-per-class".
        samples: how many each split has as published.
        download: bytes to be fetched.
        obtain: what to get, where, and where to put it, if no program can fetch it.
    """

    build: Callable[..., Split]
    source: str | None
    licence: str
    homepage: str = ""
    fetch: Callable[[Path], dict[str, Any]] | None = None
    splits: tuple[str, ...] = ("train", "test")
    labels: tuple[str, ...] = ("label",)
    label: str = "label"
    class_names: str = "label"
    captions: bool = False
    metric: str = "top1"
    templates: str = "plain"
    samples: dict[str, int] = field(default_factory=dict)
    download: int = 0
    obtain: str = ""


_RESEARCH = "non-commercial research"

_IMAGENET = (
    "ImageNet needs a login: get ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from "
    "https://image-net.org/download and unpack them to `path`/train/<wnid>/*.JPEG and `path`/val/<wnid>/*.JPEG "
    "(with ILSVRC2012_devkit_t12.tar.gz beside them, torchvision.datasets.ImageNet(`path`, split) does that)"
)
_CARS = (
    "Stanford Cars' own host is gone: get cars_train, cars_test, devkit and cars_test_annos_withlabels.mat from a copy "
    "(https://github.com/pytorch/vision/issues/7545 names some) and put them into `path`"
)
_FLICKR = (
    "Flickr30k needs a request: get the pictures from https://shannon.cs.illinois.edu/DenotationGraph/ to "
    "`path`/flickr30k-images, and dataset_flickr30k.json from "
    "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip to `path`"
)
_COCO = (
    "get train2014.zip and val2014.zip from https://cocodataset.org/#download, unpacked to `path`/train2014 and "
    "`path`/val2014, and dataset_coco.json from "
    "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip to `path` (for `annotations: 2017`: "
    "train2017, val2017 and annotations/captions_{train,val}2017.json)"
)
_CC3M = (
    "get the list Train_GCC-training.tsv from https://ai.google.com/research/ConceptualCaptions/download, put the line "
    "`caption<TAB>url` above it, and load its pictures to `path` with `img2dataset --url_list Train_GCC-training.tsv "
    "--input_format tsv --url_col url --caption_col caption --output_format webdataset --image_size 256 "
    "--resize_mode center_crop --output_folder PATH`"
)


def _captioned(build: Callable[..., Split], licence: str, samples: dict[str, int], download: int, how: str) -> Dataset:
    """Pictures with sentences, which only the user can get; their classes are their captions."""
    return Dataset(
        build=build,
        source=None,
        splits=tuple(samples),
        labels=("caption",),
        licence=licence,
        label="caption",
        class_names="caption",
        captions=True,
        samples=samples,
        download=download,
        obtain=how,
    )


DATASETS: dict[str, Dataset] = {
    "fashion-mnist": Dataset(
        build=fashion_mnist,
        source="fashion-mnist",
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        fetch=fetch_fashion_mnist,
        templates="clothing",
        samples={"train": 60000, "test": 10000},
        download=30_878_645,
    ),
    "digits": Dataset(
        build=digits,
        source="digits",
        licence="CC-BY-4.0",
        homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        fetch=fetch_digits,
        templates="digits",
        samples={"train": 1437, "test": 360},
    ),
    "mnist": Dataset(
        build=mnist,
        source="mnist",
        licence="CC-BY-SA-3.0",
        homepage="http://yann.lecun.com/exdb/mnist/",
        fetch=fetch_mnist,
        templates="digits",
        samples={"train": 4000, "test": 1000},
    ),
    "emoji": Dataset(
        build=emoji,
        source="emoji",
        splits=("train", "test-concepts", "test-vendor"),
        labels=("concept", "subgroup", "group", "vendor"),
        licence="Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0, MIT (by vendor, see ATTRIBUTION.md)",
        homepage="https://icon-sets.iconify.design/",
        fetch=fetch_emoji,
        label="concept",
        class_names="concept",
        captions=True,
        samples={"train": 3690, "test-concepts": 799, "test-vendor": 530},
        download=20_825_414,
    ),
    "glyphs": Dataset(
        build=glyphs,
        source="typefaces",
        splits=GLYPH_SPLITS,
        labels=("label", "base", "family", "kind"),
        licence="OFL-1.1, Apache-2.0, UFL-1.0 (by family, see `licences`)",
        homepage="https://fontsource.org/",
        fetch=fetch_typefaces,
        captions=True,
        samples={"train": 7252, "test-fonts": 2609, "new-characters": 1570, "test-characters": 567},
        download=28_191_510,
    ),
    "imagenet100": Dataset(
        build=imagenet100,
        source=None,
        licence=_RESEARCH,
        templates="photo",
        samples={"train": 126689, "test": 5000},
        download=154_642_401_280,
        obtain=_IMAGENET,
    ),
    "cifar10": Dataset(
        build=cifar10,
        source="cifar10",
        licence="none stated",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        fetch=fetcher("cifar10"),
        templates="cifar",
        samples={"train": 50000, "test": 10000},
        download=170_052_171,
    ),
    "cifar100": Dataset(
        build=cifar100,
        source="cifar100",
        labels=("label", "superclass"),
        licence="none stated",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        fetch=fetcher("cifar100"),
        templates="cifar",
        samples={"train": 50000, "test": 10000},
        download=168_513_733,
    ),
    "food101": Dataset(
        build=food101,
        source="food101",
        licence=f"{_RESEARCH} (pictures of Foodspotting's users)",
        homepage="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        fetch=fetcher("food101"),
        templates="food101",
        samples={"train": 75750, "test": 25250},
        download=4_996_278_331,
    ),
    "stanford-cars": Dataset(
        build=stanford_cars,
        source=None,
        licence=_RESEARCH,
        templates="stanford-cars",
        samples={"train": 8144, "test": 8041},
        download=1_956_619_750,
        obtain=_CARS,
    ),
    "dtd": Dataset(
        build=dtd,
        source="dtd",
        licence=_RESEARCH,
        homepage="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        fetch=fetcher("dtd"),
        templates="dtd",
        samples={"train": 3760, "test": 1880},
        download=625_239_812,
    ),
    "oxford-pets": Dataset(
        build=oxford_pets,
        source="oxford-pets",
        labels=("label", "species"),
        licence="CC-BY-SA-4.0",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        fetch=fetcher("oxford-pets"),
        metric="mean-per-class",
        templates="oxford-pets",
        samples={"train": 3680, "test": 3669},
        download=811_092_049,
    ),
    "caltech101": Dataset(
        build=caltech101,
        source="caltech101",
        licence="CC-BY-4.0",
        homepage="https://data.caltech.edu/records/mzrjq-6wc02",
        fetch=fetcher("caltech101"),
        metric="mean-per-class",
        templates="caltech101",
        samples={"train": 6942, "test": 1735},
        download=137_414_764,
    ),
    "flowers102": Dataset(
        build=flowers102,
        source="flowers102",
        licence="none stated",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        fetch=fetcher("flowers102"),
        metric="mean-per-class",
        templates="flowers102",
        samples={"train": 2040, "test": 6149},
        download=344_878_000,
    ),
    "cc3m": _captioned(
        cc3m,
        "pictures under their owners' terms; captions free for any use, naming Google LLC is appreciated",
        {"train": 3318333, "test": 15840},
        100_000_000_000,
        _CC3M,
    ),
    "flickr30k": _captioned(
        flickr30k,
        f"{_RESEARCH} (pictures under Flickr's terms)",
        {"train": 29000, "val": 1014, "test": 1000},
        4_500_000_000,
        _FLICKR,
    ),
    "coco-captions": _captioned(
        coco_captions,
        "CC-BY-4.0 (annotations; pictures under Flickr's terms)",
        {"train": 113287, "val": 5000, "test": 5000},
        20_200_000_000,
        _COCO,
    ),
    "folder": Dataset(
        build=folder,
        source=None,
        licence="the user's own",
        templates="photo",
        obtain="name the folder of your own pictures as `path`: `path`/<split>/<class>/<picture>",
    ),
    "webdataset": Dataset(
        build=webdataset,
        source=None,
        labels=("label", "caption"),
        licence="the user's own",
        captions=True,
        templates="photo",
        obtain="name the folder of your own tars as `path`",
    ),
}


def sources() -> dict[str, Dataset]:
    """Everything that can be fetched, by the name of the source."""
    return {entry.source: entry for entry in DATASETS.values() if entry.source}


def configured(entry: Dataset, block: dict[str, Any]) -> Dataset:
    """The entry as a block of the config makes it: its source, label fields and captions can depend on options.

    `block` may lack options, which then have their defaults; wrong values of others do not matter.
    """
    options = parameters(entry.build)

    def value(key: str) -> Any:
        return block.get(key, options[key].default) if key in options else None

    if value("path") not in (None, "", REQUIRED):
        entry = replace(entry, source=None)
    if "label_from" in options:
        fields = {"label": value("label_from"), "caption": value("captions_from")}
        labels = tuple(name for name, source in fields.items() if source)
        first = labels[0] if labels else entry.label
        entry = replace(entry, labels=labels, label=first, class_names=first, captions="caption" in labels)
    return entry


def problems(options: dict[str, Any]) -> Iterator[str]:
    """What is wrong between the options of one data set, or in the form of one, each as `key: what is wrong`.

    Args:
        options: all options of a data set; of the right types, in their ranges.
    """
    groups, subgroups = options.get("groups") or list(GROUPS), options.get("subgroups") or []
    inside = [subgroup for group in groups for subgroup in GROUPS[group]]
    if unknown := [name for name in subgroups if name not in inside]:
        yield f"subgroups: {unknown[0]!r} is none of the chosen groups', which are {', '.join(inside)}"
    sources = {"label_from": ("cls", "txt"), "captions_from": ("txt",)}
    for key, members in sources.items():
        text = options.get(key)
        if text and text not in members and not (text.startswith("json.") and text != "json."):
            yield f"{key}: must be {', '.join(members)} or json.KEY, not {text!r}"
    if "label_from" in options and not (options["label_from"] or options["captions_from"]):
        yield "label_from: is null as captions_from is; a sample needs a class or captions"
    for key in ("train", "test") if "captions_from" in options else ():
        path = PurePosixPath(options[key])
        if path.is_absolute() or ".." in path.parts or not path.parts:
            yield f"{key}: {options[key]!r} is no pattern of files below `path`, such as train/*.tar"
        elif any("**" in part and part != "**" for part in path.parts):
            yield f"{key}: {options[key]!r} is no pattern of files; ** stands for whole folders only"


def resolved(config: dict[str, Any], name: str) -> tuple[Dataset, dict[str, Any]]:
    """The catalogue entry and the full options of the block `name` of the config's `datasets:`.

    The entry is the block's `dataset`, else the one of that name, as the block makes it (`configured`). Values are not
    checked here.

    Raises:
        ValueError: for an unknown data set or option, naming the valid ones.
    """
    kind = config.get("dataset", name)
    if not isinstance(kind, str) or kind not in DATASETS:
        raise ValueError(f"datasets.{name}: {kind!r} is not in the catalogue; known are {', '.join(DATASETS)}")
    entry, declared = DATASETS[kind], parameters(DATASETS[kind].build)
    unknown = [key for key in config if key != "dataset" and key not in declared]
    if unknown:
        raise ValueError(f"datasets.{name}: unknown key {unknown[0]!r}; valid are {', '.join(declared)}")
    options = {key: config.get(key, option.default) for key, option in declared.items()}
    return configured(entry, options), options
