"""docs/datasets.md says of every data set what the catalogue says."""

from pathlib import Path

from glofnd.data.catalogue import DATASETS, SOURCES

PAGE = Path(__file__).parents[3] / "docs" / "datasets.md"


def size(number):
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def row(name):
    """A line of the page's table."""
    entry = DATASETS[name]
    splits = ", ".join(f"{split} {entry.samples[split]:,}" for split in entry.splits) if entry.samples else "your own"
    labels = ", ".join(entry.labels)
    origin = (
        f"[fetched]({SOURCES[entry.source].homepage})" if entry.source else "by hand" if entry.download else "yours"
    )
    download = size(entry.download) if entry.download else "none"
    cells = [f"`{name}`", splits, labels, entry.metric, f"`{entry.templates}`", origin, download, entry.licence]
    return f"| {' | '.join(cells)} |"


def test_the_page_agrees_with_the_catalogue():
    expected = [row(name) for name in DATASETS]
    found = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert found == expected, "the table should be:\n" + "\n".join(expected)


def test_the_page_says_how_to_get_what_no_program_fetches():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    for name, entry in DATASETS.items():
        if entry.obtain and entry.download:
            assert entry.obtain in text, f"{name}: {entry.obtain}"
