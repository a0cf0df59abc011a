"""IDs against pandas: what it reads as something else is refused, and nothing besides."""

import io

import pandas as pd
import pytest

from models.bags.names import misread, require_csv_names, require_distinct_stems
from models.errors import BagError

NAMES = [
    *("0012", "12", "-3", "+4", "1.5", ".5", "5.", "1e5", "1E-5", "inf", "-inf", "Infinity", "nan"),
    *("NA", "None", "null", "NULL", "N/A", "n/a", "<NA>", "#N/A", "NaN", "-nan", "True", "false"),
    *("TRUE", "-1.#IND", "1.#QNAN", "#NA", "1.#IND"),
    *("a", "12a", "1-2", "s0012", "TCGA-AA-3842", "1.2.3", "e5", "x.y", "2021-07-01", "Nan0", "1e"),
]


def changed_by_pandas(name: str) -> bool:
    """Whether a column of this name alone comes back as another value."""
    column = pd.read_csv(io.StringIO(f"slide_id,other\n{name},x\n"))["slide_id"]
    return column.tolist() != [name] or not isinstance(column[0], str)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_refused_exactly_where_pandas_changes_them(name: str) -> None:
    assert misread(name) >= changed_by_pandas(name)
    if name[0].isalpha() and not changed_by_pandas(name):
        assert not misread(name) or name.lower() in {"nan", "none", "na", "null", "infinity"}


def test_the_message_names_some_and_counts_the_rest() -> None:
    with pytest.raises(BagError, match=r"from a CSV: 0, 1, 2, 3, 4 and 2 more; put something"):
        require_csv_names([str(number) for number in range(7)] + ["fine"])
    require_csv_names(["fine", "s0012"])


def test_names_that_differ_in_case_only_are_one_file() -> None:
    with pytest.raises(BagError, match="'Slide' and 'slide' are one file where case is ignored"):
        require_distinct_stems(["Slide", "other", "slide"])
