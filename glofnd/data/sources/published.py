"""Where the published data sets are. Checksums and sizes are their publishers' and torchvision's.

CIFAR is fetched in its binary version: the Python version is a pickle, and unpickling runs whatever it contains.
"""

from __future__ import annotations

from glofnd.data.sources.archives import Archive, Published

__all__ = ["caltech101", "cifar10", "cifar100", "dtd", "flowers102", "food101", "oxford_pets"]

_TORONTO = "https://www.cs.toronto.edu/~kriz"
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"

cifar10 = Published(
    (Archive(f"{_TORONTO}/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170_052_171),),
    "University of Toronto",
)
cifar100 = Published(
    (Archive(f"{_TORONTO}/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 168_513_733),),
    "University of Toronto",
)
food101 = Published(
    (Archive("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "85eeb15f3717b99a5da872d97d918f87", 4_996_278_331),),
    "ETH Zürich",
)
dtd = Published(
    (Archive(f"{_OXFORD}/dtd/download/dtd-r1.0.1.tar.gz", "fff73e5086ae6bdbea199a49dfb8a4c1", 625_239_812),),
    "University of Oxford",
)
oxford_pets = Published(
    (
        Archive(f"{_OXFORD}/pets/data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c", 791_918_971),
        Archive(f"{_OXFORD}/pets/data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f", 19_173_078),
    ),
    "University of Oxford",
)
flowers102 = Published(
    (
        Archive(f"{_OXFORD}/flowers/102/102flowers.tgz", "52808999861908f626f3c1f4e79d11fa", 344_862_509),
        Archive(f"{_OXFORD}/flowers/102/imagelabels.mat", "e0620be6f572b9609742df49c70aed4d", 502, packed=False),
        Archive(f"{_OXFORD}/flowers/102/setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c", 14_989, packed=False),
    ),
    "University of Oxford",
)
caltech101 = Published(
    (
        Archive(
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "3138e1922a9193bfa496528edbbc45d0",
            137_414_764,
            inner="caltech-101/101_ObjectCategories.tar.gz",
        ),
    ),
    "California Institute of Technology",
)
