"""The catalogue's entries for the data sets of the paper and of the transfer benchmarks around it."""

from __future__ import annotations

from glofnd.data.entry import Dataset, Schema, Source, files, limited, picture_files, samples, shards

__all__ = ["PUBLISHED", "PUBLISHED_SOURCES"]

_RESEARCH = "non-commercial research"


def _source(name: str, licence: str, homepage: str) -> Source:
    return Source(f"glofnd.data.sources.published:{name}", licence, homepage)


PUBLISHED_SOURCES: dict[str, Source] = {
    "cifar10": _source("cifar10", "none stated", "https://www.cs.toronto.edu/~kriz/cifar.html"),
    "cifar100": _source("cifar100", "none stated", "https://www.cs.toronto.edu/~kriz/cifar.html"),
    "food101": _source(
        "food101",
        f"{_RESEARCH} (pictures of Foodspotting's users)",
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    ),
    "dtd": _source("dtd", _RESEARCH, "https://www.robots.ox.ac.uk/~vgg/data/dtd/"),
    "oxford-pets": _source("oxford_pets", "CC-BY-SA-4.0", "https://www.robots.ox.ac.uk/~vgg/data/pets/"),
    "flowers102": _source("flowers102", "none stated", "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"),
    "caltech101": _source("caltech101", "CC-BY-4.0", "https://data.caltech.edu/records/mzrjq-6wc02"),
}

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


def _labelled(train: int, test: int, image_size: int = 256, number: int = 32) -> dict[str, Schema]:
    return {
        **picture_files(image_size, number),
        "train_samples": samples(train),
        "test_samples": samples(test),
    }


def _captions(annotations: tuple[str, ...], obtain: str) -> dict[str, Schema]:
    return {
        **picture_files(256, 32),
        **files(obtain),
        "annotations": {"type": "string", "default": annotations[0], "enum": list(annotations)},
        "captions_per_picture": {"type": ["integer", "null"], "default": 5, "minimum": 1},
    }


PUBLISHED: dict[str, Dataset] = {
    "imagenet100": Dataset(
        source=None,
        target="glofnd.data.datasets.folder:imagenet100",
        splits=("train", "test"),
        labels=("label",),
        licence=_RESEARCH,
        templates="photo",
        samples={"train": 126689, "test": 5000},
        download=154_642_401_280,
        obtain=_IMAGENET,
        parameters={
            **picture_files(256, 64),
            **files(_IMAGENET),
            "train": {"type": "string", "default": "train", "minLength": 1},
            "test": {"type": "string", "default": "val", "minLength": 1},
            "class_list": {"type": ["string", "null"], "default": None},
            "train_samples": limited(),
            "test_samples": limited(),
        },
    ),
    "cifar10": Dataset(
        source="cifar10",
        target="glofnd.data.datasets.cifar:cifar10",
        splits=("train", "test"),
        labels=("label",),
        licence="none stated",
        templates="cifar",
        samples={"train": 50000, "test": 10000},
        download=170_052_171,
        parameters={**shards(), **files(), "train_samples": samples(50000), "test_samples": samples(10000)},
    ),
    "cifar100": Dataset(
        source="cifar100",
        target="glofnd.data.datasets.cifar:cifar100",
        splits=("train", "test"),
        labels=("label", "superclass"),
        licence="none stated",
        templates="cifar",
        samples={"train": 50000, "test": 10000},
        download=168_513_733,
        parameters={**shards(), **files(), "train_samples": samples(50000), "test_samples": samples(10000)},
    ),
    "food101": Dataset(
        source="food101",
        target="glofnd.data.datasets.food101:build",
        splits=("train", "test"),
        labels=("label",),
        licence=_RESEARCH,
        templates="food101",
        samples={"train": 75750, "test": 25250},
        download=4_996_278_331,
        parameters={**_labelled(75750, 25250), **files()},
    ),
    "stanford-cars": Dataset(
        source=None,
        target="glofnd.data.datasets.matlab:stanford_cars",
        splits=("train", "test"),
        labels=("label",),
        licence=_RESEARCH,
        templates="stanford-cars",
        samples={"train": 8144, "test": 8041},
        download=1_956_619_750,
        obtain=_CARS,
        parameters={**_labelled(8144, 8041), **files(_CARS)},
    ),
    "dtd": Dataset(
        source="dtd",
        target="glofnd.data.datasets.dtd:build",
        splits=("train", "test"),
        labels=("label",),
        licence=_RESEARCH,
        templates="dtd",
        samples={"train": 3760, "test": 1880},
        download=625_239_812,
        parameters={
            **_labelled(3760, 1880, number=8),
            **files(),
            "partition": {"type": "integer", "default": 1, "minimum": 1, "maximum": 10},
        },
    ),
    "oxford-pets": Dataset(
        source="oxford-pets",
        target="glofnd.data.datasets.oxford_pets:build",
        splits=("train", "test"),
        labels=("label", "species"),
        licence="CC-BY-SA-4.0",
        metric="mean-per-class",
        templates="oxford-pets",
        samples={"train": 3680, "test": 3669},
        download=811_092_049,
        parameters={**_labelled(3680, 3669, number=8), **files()},
    ),
    "caltech101": Dataset(
        source="caltech101",
        target="glofnd.data.datasets.caltech101:build",
        splits=("train", "test"),
        labels=("label",),
        licence="CC-BY-4.0",
        metric="mean-per-class",
        templates="caltech101",
        samples={"train": 6942, "test": 1735},
        download=137_414_764,
        parameters={**_labelled(6942, 1735, number=8), **files()},
    ),
    "flowers102": Dataset(
        source="flowers102",
        target="glofnd.data.datasets.matlab:flowers102",
        splits=("train", "test"),
        labels=("label",),
        licence="none stated",
        metric="mean-per-class",
        templates="flowers102",
        samples={"train": 2040, "test": 6149},
        download=344_878_000,
        parameters={**_labelled(2040, 6149, number=8), **files()},
    ),
    "cc3m": Dataset(
        source=None,
        target="glofnd.data.datasets.web:build",
        splits=("train", "test"),
        labels=("caption",),
        licence="pictures under their owners' terms; captions free for any use, naming Google LLC is appreciated",
        label="caption",
        class_names="caption",
        captions=True,
        samples={"train": 3318333, "test": 15840},
        download=100_000_000_000,
        obtain=_CC3M,
        parameters={
            **picture_files(256, 512),
            **files(_CC3M),
            "train": {"type": "string", "default": "*.tar", "minLength": 1},
            "test": {"type": "string", "default": "validation/*.tar", "minLength": 1},
            "label_from": {"type": "null", "default": None},
            "captions_from": {
                "type": "string",
                "default": "txt",
                "pattern": r"^(txt|json\..+)\Z",
                "description": "must be txt or json.KEY",
            },
            "class_list": {"type": "null", "default": None},
        },
    ),
    "flickr30k": Dataset(
        source=None,
        target="glofnd.data.datasets.captions:flickr30k",
        splits=("train", "val", "test"),
        labels=("caption",),
        licence=f"{_RESEARCH} (pictures under Flickr's terms)",
        label="caption",
        class_names="caption",
        captions=True,
        samples={"train": 29000, "val": 1014, "test": 1000},
        download=4_500_000_000,
        obtain=_FLICKR,
        parameters=_captions(("karpathy", "token"), _FLICKR),
    ),
    "coco-captions": Dataset(
        source=None,
        target="glofnd.data.datasets.captions:coco_captions",
        splits=("train", "val", "test"),
        labels=("caption",),
        licence="CC-BY-4.0 (annotations; pictures under Flickr's terms)",
        label="caption",
        class_names="caption",
        captions=True,
        samples={"train": 113287, "val": 5000, "test": 5000},
        download=20_200_000_000,
        obtain=_COCO,
        parameters=_captions(("karpathy", "2017", "2014"), _COCO),
    ),
}
