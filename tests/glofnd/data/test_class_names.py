import csv

from hypothesis import given, settings
from hypothesis import strategies as st

from glofnd.data.class_names import read_class_folders, reader_of_labels

NAME = st.text("ab01. é中\u2028'", min_size=1, max_size=4).filter(lambda name: name == name.strip())


@settings(derandomize=True, max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(NAME, min_size=1, max_size=2), min_size=1, max_size=5, unique_by=lambda row: row[0]))
def test_a_class_list_is_what_csv_reads(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("lists") / "classes.txt"
    with path.open("w", newline="", encoding="utf-8-sig") as handle:
        csv.writer(handle, delimiter="\t").writerows(rows)
    with path.open(newline="", encoding="utf-8-sig") as handle:
        theirs = {row[0]: row[-1] for row in csv.reader(handle, delimiter="\t")}
    assert read_class_folders(path) == theirs


@settings(derandomize=True, max_examples=100, deadline=None)
@given(names=st.lists(st.text("01.", min_size=1, max_size=3), min_size=1, max_size=5, unique=True))
def test_a_label_is_the_class_of_that_name_or_refused(names):
    read = reader_of_labels(names)
    for number, name in enumerate(names):
        try:
            assert read(name) == number
        except ValueError:
            assert float(name).is_integer() and float(name) != number
