import numpy as np
import pandas as pd
import pytest

from pgnm.tables import published_table, show_spread, to_latex, to_markdown, write_table

TABLE = pd.DataFrame({"arm": ["a_b|c", "50 %"], "f1": [0.123456, np.nan], "n": [3, 4]})


def test_markdown_by_hand():
    expected = "| arm | f1 | n |\n| --- | ---: | ---: |\n| a_b\\|c | 0.1235 | 3 |\n| 50 % |  | 4 |\n"
    assert to_markdown(TABLE) == expected


def test_latex_escapes():
    text = to_latex(TABLE, "Caption & more")
    assert r"a\_b|c & 0.1235 & 3 \\" in text
    assert r"50 \% &  & 4 \\" in text
    assert r"\caption{Caption \& more}" in text
    assert r"\begin{tabular}{lrr}" in text


def test_csv_keeps_full_precision(tmp_path):
    paths = write_table(TABLE, tmp_path, "table1")
    assert [path.name for path in paths] == ["table1.md", "table1.csv", "table1.tex"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table1.csv"), TABLE)


def test_spread_of_one_value_is_the_value():
    assert show_spread(0.5, float("nan")) == "0.5000"
    assert show_spread(0.5, 0.25) == "0.5000 ± 0.2500"


@pytest.mark.parametrize(("name", "rows"), [("table1", 10), ("table2", 5), ("table3", 13), ("table4", 8)])
def test_published_tables_are_there(name, rows):
    assert len(published_table(name)) == rows
