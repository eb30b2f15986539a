"""The columns of the data that travel to the rewards: their types and their values."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from smilerl.worlds.dialogue.rows import Row
from smilerl.worlds.dialogue.said import short


def type_of(column: str, rows: Sequence[Row]) -> pa.DataType | None:
    """The Arrow type of a column; None for a column with dicts, in which Arrow would add the keys of all rows to each.

    Raises:
        ValueError: its values have no type in common; names the row where this shows, and the first.
    """
    unlike = (pa.ArrowException, OverflowError, TypeError, ValueError)
    given = [(row.where, row.columns[column]) for row in rows if column in row.columns]
    try:
        kind = pa.array([value for _, value in given]).type
    except unlike:
        pass
    else:
        return None if "struct<" in str(kind) else kind
    if len({type(value) for _, value in given}) == 1 and any(_has_dict(value) for _, value in given):
        return None
    where, first = given[0]
    for other, value in given:
        try:
            pa.array([first, value])
        except unlike:
            same = f" and {short(first)} in {where}" if other != where else ""
            raise ValueError(
                f"{other}: the column '{column}' is {short(value)} here{same}: a column holds values of one type, "
                "whole numbers of at most 64 bits. Write all of them alike, as text for example"
            ) from None
    raise ValueError(f"{where}: the values of the column '{column}' are of several types. Write all of them alike")


def _has_dict(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_has_dict, value)))


def as_held(column: str, kind: pa.DataType | None, rows: Sequence[Row]) -> list:
    """The values of a column as rewards get them, in the column's type if it has one; None where a row has no value."""
    values = [row.columns.get(column) for row in rows]
    return values if kind is None else pa.array(values, kind).to_pylist()


def for_table(kind: pa.DataType | None, values: list) -> list:
    """The values as a data set holds them: a column without a type is JSON text."""
    return values if kind is not None else [None if one is None else json.dumps(one) for one in values]
