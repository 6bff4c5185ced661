"""Pure: a LIST as a Table (meta.k8s.io/v1). The API server makes the cells: however large objects are, these are small."""

from typing import Any

import msgspec

TABLE_ONLY = "application/json;as=Table;g=meta.k8s.io;v=v1"


class _Column(msgspec.Struct):
    name: str


class _Row(msgspec.Struct):
    cells: list[Any]


class _TableMetadata(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class Table(msgspec.Struct, rename="camel"):
    """What the API server sends."""

    column_definitions: list[_Column]
    rows: list[_Row] | None = None
    metadata: _TableMetadata = msgspec.field(default_factory=_TableMetadata)

    def page(self) -> "TablePage":
        """By the names of columns; a cell that is empty, or no text, is left out."""
        names = [column.name for column in self.column_definitions]
        rows = tuple(
            {name: cell for name, cell in zip(names, row.cells, strict=False) if isinstance(cell, str) and cell}
            for row in self.rows or ()
        )
        return TablePage(rows, self.metadata.continue_)


class TablePage(msgspec.Struct, frozen=True):
    """One page of a list."""

    rows: tuple[dict[str, str], ...]
    continue_: str = ""
    """What the next page is asked for with; empty: this is the last one."""
