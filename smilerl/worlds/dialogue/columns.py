"""The columns of the data that travel to the rewards: their types and their values."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from smilerl.worlds.dialogue.rows import Row
from smilerl.worlds.dialogue.said import short


def type_of(column: str, rows: Sequence[Row]) -> pa.DataType:
    """The type of a column.

    Raises:
        ValueError: its values have no type in common; names the row where this shows, and the first.
    """
    unlike = (pa.ArrowException, OverflowError, TypeError, ValueError)
    given = [(row.where, row.columns[column]) for row in rows if column in row.columns]
    try:
        return pa.array([value for _, value in given]).type
    except unlike:
        pass
    where, first = given[0]
    for other, value in given:
        try:
            pa.array([first, value])
        except unlike:
            same = f" and {short(first)} in {where}" if other != where else ""
            raise ValueError(
                f"{other}: the column '{column}' is {short(value)} here{same}: a column holds values of one type, whole numbers "
                "of at most 64 bits. Write all of them alike, as text for example"
            ) from None
    raise ValueError(f"{where}: the values of the column '{column}' are of several types. Write all of them alike")


def as_held(column: str, kind: pa.DataType, rows: Sequence[Row]) -> list:
    """The values of a column as Arrow holds them, None where a row has none.

    A trainer hands a reward the data set's, and elsewhere it gets the person's: both are these.
    """
    return pa.array([row.columns.get(column) for row in rows], kind).to_pylist()
