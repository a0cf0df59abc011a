"""What every method asks of the views that it is given."""

from models.errors import DataError
from models.training.method import Views


def require_views(views: Views, count: int) -> None:
    """Refuse another number of views than a method compares.

    Raises:
        DataError: the preset makes another number.
    """
    if len(views.images) != count:
        raise DataError(
            f"the method needs views of a patch in the number of {count}, got "
            f"{len(views.images)}; use the preset of its recipe"
        )
