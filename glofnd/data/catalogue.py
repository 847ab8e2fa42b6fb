"""What can be fetched and sharded.

A data set's options are declared in the fields of its class (`glofnd.parameters`). A new data set is one file and one
entry here (docs/add-a-dataset.md); docs/datasets.md lists what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from glofnd.data.dataset_options import Options
from glofnd.data.datasets import torchvision_sets as photographs
from glofnd.data.datasets.captions import CaptionList, CocoCaptions, Flickr30k
from glofnd.data.datasets.emoji import Emoji
from glofnd.data.datasets.folder import Folder, ImageNet100
from glofnd.data.datasets.glyphs import Glyphs
from glofnd.data.datasets.small import Cifar10, Cifar100, Digits, FashionMnist, Mnist, fetch_digits, fetch_mnist
from glofnd.data.datasets.tars import CC3M, WebDataset
from glofnd.data.sources.archives import fetcher
from glofnd.data.sources.fashion_mnist import fetch as fetch_fashion_mnist
from glofnd.data.sources.npm import fetch_emoji, fetch_typefaces
from glofnd.parameters import REQUIRED, parameters

__all__ = ["DATASETS", "Dataset", "configured", "problems", "resolved", "sources"]


@dataclass(frozen=True)
class Dataset:
    """A data set and where it comes from.

    Attributes:
        build: `build(path=, **options).split(name)`; its described parameters are the data set's options, and `path` is
            the folder of the source, or of the user's own files.
        licence, homepage: of the source.
        source: what it is made from, fetched once into `{raw}/{source}`; None: the user's own files, in `path`.
        fetch: `fetch(out)` leaves verified files in `out` and returns what `source.json` states about them besides
            their checksums; `files`, their paths below `out`, is required.
        labels: label fields. The first says what a picture shows: the default truth for false negatives and probes,
            whose names make zero-shot prompts with the templates of the file `templates`.
        metric: the usual score, "top1" or "mean-per-class".
        samples: how many each split has as published.
        download: bytes to be fetched.
        obtain: what to get, where, and where to put it, if no program can fetch it.
    """

    build: type[Options]
    licence: str
    homepage: str = ""
    source: str | None = None
    fetch: Callable[[Path], dict[str, Any]] | None = None
    labels: tuple[str, ...] = ("label",)
    captions: bool = False
    metric: str = "top1"
    templates: str = "plain"
    samples: dict[str, int] = field(default_factory=dict)
    download: int = 0
    obtain: str = ""

    @property
    def label(self) -> str:
        """The first label field; of pictures without any, the name that one would have."""
        return next(iter(self.labels), "label")

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.samples) or ("train", "test")


def _archives(
    build: type[Options], source: str, licence: str, homepage: str, samples: tuple[int, int], download: int, **more: Any
) -> Dataset:
    """One whose train and test split are published in the archives of archives.txt, with its own templates."""
    known = {"templates": source, "samples": dict(zip(("train", "test"), samples, strict=True)), **more}
    return Dataset(build, licence, homepage, source, fetcher(source), download=download, **known)


def _captioned(build: type[Options], licence: str, samples: dict[str, int], download: int, how: str) -> Dataset:
    """Pictures with sentences, which only the user can get; their classes are their captions."""
    known = {"samples": samples, "download": download, "obtain": how}
    return Dataset(build, licence, labels=("caption",), captions=True, **known)  # type: ignore[arg-type]


_RESEARCH = "non-commercial research"

_IMAGENET = (
    "ImageNet needs a login: get ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from "
    "https://image-net.org/download and unpack them to `path`/train/<wnid>/*.JPEG and `path`/val/<wnid>/*.JPEG, as "
    "torchvision.datasets.ImageNet does"
)
_CARS = (
    "Stanford Cars' own host is gone: get cars_train, cars_test, devkit and cars_test_annos_withlabels.mat from a copy "
    "(https://github.com/pytorch/vision/issues/7545 names some) and put them into `path`"
)
_KARPATHY = "from https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip to `path`"
_FLICKR = (
    "Flickr30k needs a request: get the pictures from https://shannon.cs.illinois.edu/DenotationGraph/ to "
    f"`path`/flickr30k-images, and dataset_flickr30k.json {_KARPATHY}"
)
_COCO = (
    "get train2014.zip and val2014.zip from https://cocodataset.org/#download, unpacked to `path`/train2014 and "
    f"`path`/val2014, and dataset_coco.json {_KARPATHY} (for `annotations: 2017`: train2017, val2017 and annotations/)"
)
_CC3M = (
    "get Train_GCC-training.tsv from https://ai.google.com/research/ConceptualCaptions/download, put the line "
    "`caption<TAB>url` above it, and load its pictures with `img2dataset --url_list Train_GCC-training.tsv "
    "--input_format tsv --url_col url --caption_col caption --output_format webdataset --image_size 256 "
    "--resize_mode center_crop --output_folder PATH`"
)

_CIFAR = "https://www.cs.toronto.edu/~kriz/cifar.html"
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"
_PER_CLASS = "mean-per-class"

DATASETS: dict[str, Dataset] = {
    "fashion-mnist": Dataset(
        FashionMnist,
        "MIT",
        "https://github.com/zalandoresearch/fashion-mnist",
        "fashion-mnist",
        fetch_fashion_mnist,
        templates="clothing",
        samples={"train": 60000, "test": 10000},
        download=30_878_645,
    ),
    "digits": Dataset(
        Digits,
        "CC-BY-4.0",
        "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        "digits",
        fetch_digits,
        templates="digits",
        samples={"train": 1437, "test": 360},
    ),
    "mnist": Dataset(
        Mnist,
        "CC-BY-SA-3.0",
        "http://yann.lecun.com/exdb/mnist/",
        "mnist",
        fetch_mnist,
        templates="digits",
        samples={"train": 4000, "test": 1000},
    ),
    "emoji": Dataset(
        Emoji,
        "Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0, MIT (by vendor, see ATTRIBUTION.md)",
        "https://icon-sets.iconify.design/",
        "emoji",
        fetch_emoji,
        labels=("concept", "subgroup", "group", "vendor"),
        captions=True,
        samples={"train": 3690, "test-concepts": 799, "test-vendor": 530},
        download=20_825_414,
    ),
    "glyphs": Dataset(
        Glyphs,
        "OFL-1.1, Apache-2.0, UFL-1.0 (by family, see `licences`)",
        "https://fontsource.org/",
        "typefaces",
        fetch_typefaces,
        labels=("label", "base", "family", "kind"),
        captions=True,
        samples={"train": 7252, "test-fonts": 2609, "new-characters": 1570, "test-characters": 567},
        download=28_191_510,
    ),
    "imagenet100": Dataset(
        ImageNet100,
        _RESEARCH,
        templates="photo",
        samples={"train": 126689, "test": 5000},
        download=154_642_401_280,
        obtain=_IMAGENET,
    ),
    "cifar10": _archives(Cifar10, "cifar10", "none stated", _CIFAR, (50000, 10000), 170_052_171, templates="cifar"),
    "cifar100": _archives(
        *(Cifar100, "cifar100", "none stated", _CIFAR, (50000, 10000), 168_513_733),
        templates="cifar",
        labels=("label", "superclass"),
    ),
    "food101": _archives(
        photographs.Food101,
        "food101",
        f"{_RESEARCH} (pictures of Foodspotting's users)",
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        (75750, 25250),
        4_996_278_331,
    ),
    "stanford-cars": Dataset(
        photographs.StanfordCars,
        _RESEARCH,
        templates="stanford-cars",
        samples={"train": 8144, "test": 8041},
        download=1_956_619_750,
        obtain=_CARS,
    ),
    "dtd": _archives(photographs.DescribableTextures, "dtd", _RESEARCH, f"{_OXFORD}/dtd/", (3760, 1880), 625_239_812),
    "oxford-pets": _archives(
        *(photographs.OxfordPets, "oxford-pets", "CC-BY-SA-4.0", f"{_OXFORD}/pets/", (3680, 3669), 811_092_049),
        labels=("label", "species"),
        metric=_PER_CLASS,
    ),
    "caltech101": _archives(
        photographs.Caltech101,
        "caltech101",
        "CC-BY-4.0",
        "https://data.caltech.edu/records/mzrjq-6wc02",
        (6942, 1735),
        137_414_764,
        metric=_PER_CLASS,
    ),
    "flowers102": _archives(
        *(photographs.Flowers102, "flowers102", "none stated", f"{_OXFORD}/flowers/102/", (2040, 6149), 344_878_000),
        metric=_PER_CLASS,
    ),
    "cc3m": _captioned(
        CC3M,
        "pictures under their owners' terms; captions free for any use, naming Google LLC is appreciated",
        {"train": 3318333, "test": 15840},
        100_000_000_000,
        _CC3M,
    ),
    "flickr30k": _captioned(
        Flickr30k,
        f"{_RESEARCH} (pictures under Flickr's terms)",
        {"train": 29000, "val": 1014, "test": 1000},
        4_500_000_000,
        _FLICKR,
    ),
    "coco-captions": _captioned(
        CocoCaptions,
        "CC-BY-4.0 (annotations; pictures under Flickr's terms)",
        {"train": 113287, "val": 5000, "test": 5000},
        20_200_000_000,
        _COCO,
    ),
    "folder": Dataset(
        Folder,
        "the user's own",
        templates="photo",
        obtain="name the folder of your own pictures as `path`: `path`/<split>/<class>/<picture>",
    ),
    "captions": Dataset(
        CaptionList,
        "the user's own",
        labels=("caption",),
        captions=True,
        templates="photo",
        obtain="name the folder of your own list of pictures and captions as `path`, and the list as `train`",
    ),
    "webdataset": Dataset(
        WebDataset,
        "the user's own",
        labels=("label", "caption"),
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
    values = {key: block.get(key, option.default) for key, option in options.items()}
    if values.get("path") not in (None, "", REQUIRED):
        entry = replace(entry, source=None)
    if "label_from" in options:
        fields = {"label": values["label_from"], "caption": values["captions_from"]}
        labels = tuple(name for name, source in fields.items() if source)
        entry = replace(entry, labels=labels, captions="caption" in labels)
    return entry


def problems(options: dict[str, Any], splits: Sequence[str] = ()) -> Iterator[str]:
    """What is wrong between the options of one data set, or in the form of one, each as `key: what is wrong`.

    Args:
        options: all options of a data set; of the right types, in their ranges.
        splits: that it has, where they are to be looked at.
    """
    for split in options["shards"] if splits and isinstance(options["shards"], dict) else ():
        if split not in splits:
            yield f"shards: no split {split!r}; it has {', '.join(splits)}"
    if "label_from" not in options:
        return
    for key, members in {"label_from": ("cls", "txt"), "captions_from": ("txt",)}.items():
        text = options[key]
        if text and text not in members and not text.startswith("json."):
            yield f"{key}: must be {', '.join(members)} or json.KEY, not {text!r}"
    for key in ("train", "test"):
        path = PurePosixPath(options[key])
        if path.is_absolute() or ".." in path.parts or not path.parts:
            yield f"{key}: {options[key]!r} is no pattern of files below `path`, such as train/*.tar"


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
