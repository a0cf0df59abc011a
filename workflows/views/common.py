"""What all tables share."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Document = dict[str, Any]


def new_table(*columns: str) -> "Table":
    """Columns of numbers are marked with `#` in front and go to the right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in columns:
        number = name.startswith("#")
        made.add_column(name.lstrip("#"), justify="right" if number else "left", overflow="fold")
    return made


def plain(words: str) -> "RenderableType":
    """Text that is shown as it is."""
    from rich.text import Text  # names of files may look like markup

    return Text(words)
