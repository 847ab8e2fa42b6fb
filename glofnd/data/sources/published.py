"""Where the published data sets are.

Sizes and MD5 are their publishers' and torchvision's, SHA-256 those of TensorFlow Datasets (url_checksums/).

CIFAR is fetched in its binary version: the Python version is a pickle, and unpickling runs whatever it contains.
"""

from __future__ import annotations

from glofnd.data.sources.archives import Archive, Published

__all__ = ["caltech101", "cifar10", "cifar100", "dtd", "flowers102", "food101", "oxford_pets"]

_TORONTO = "https://www.cs.toronto.edu/~kriz"
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"

cifar10 = Published(
    (
        Archive(
            f"{_TORONTO}/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            "c32a1d4ab5d03f1284b67883e8d87530",
            170_052_171,
        ),
    ),
    "University of Toronto",
)
cifar100 = Published(
    (
        Archive(
            f"{_TORONTO}/cifar-100-binary.tar.gz",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            "03b5dce01913d631647c71ecec9e9cb8",
            168_513_733,
        ),
    ),
    "University of Toronto",
)
food101 = Published(
    (
        Archive(
            "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            "d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
            "85eeb15f3717b99a5da872d97d918f87",
            4_996_278_331,
        ),
    ),
    "ETH Zürich",
)
dtd = Published(
    (
        Archive(
            f"{_OXFORD}/dtd/download/dtd-r1.0.1.tar.gz",
            "e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
            "fff73e5086ae6bdbea199a49dfb8a4c1",
            625_239_812,
        ),
    ),
    "University of Oxford",
)
oxford_pets = Published(
    (
        Archive(
            f"{_OXFORD}/pets/data/images.tar.gz",
            "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            "5c4f3ee8e5d25df40f4fd59a7f44e54c",
            791_918_971,
        ),
        Archive(
            f"{_OXFORD}/pets/data/annotations.tar.gz",
            "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            "95a8c909bbe2e81eed6a22bccdf3f68f",
            19_173_078,
        ),
    ),
    "University of Oxford",
)
flowers102 = Published(
    (
        Archive(
            f"{_OXFORD}/flowers/102/102flowers.tgz",
            "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
            "52808999861908f626f3c1f4e79d11fa",
            344_862_509,
        ),
        Archive(
            f"{_OXFORD}/flowers/102/imagelabels.mat",
            "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
            "e0620be6f572b9609742df49c70aed4d",
            502,
            packed=False,
        ),
        Archive(
            f"{_OXFORD}/flowers/102/setid.mat",
            "46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
            "a5357ecc9cb78c4bef273ce3793fc85c",
            14_989,
            packed=False,
        ),
    ),
    "University of Oxford",
)
caltech101 = Published(
    (
        Archive(
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
            "3138e1922a9193bfa496528edbbc45d0",
            137_414_764,
            inner="caltech-101/101_ObjectCategories.tar.gz",
        ),
    ),
    "California Institute of Technology",
)
