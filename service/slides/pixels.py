"""Where a slide's pixels are, and what may be said when they cannot be read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import InvalidError, NotFoundError
from service.slides.catalogue import Catalogue, Source
from wsi import InvalidRequestError, RegionError, SlideError

log = logging.getLogger(__name__)


def pixels_of(catalogue: Catalogue, slide_id: str) -> Source:
    """Give where a slide's pixels are.

    Raises:
        NotFoundError: there is no such slide, or its file is not here.
    """
    source = catalogue.get(slide_id).source
    if source is None:
        raise NotFoundError(f"the pixels of slide {slide_id!r} are not here")
    return source


@contextmanager
def translated(slide_id: str) -> Iterator[None]:
    """Leave the server's paths out of what is said about a damaged slide; the log has them."""
    try:
        yield
    except InvalidRequestError as err:
        log.warning("slide %s: %s", slide_id, err)
        raise InvalidError(f"slide {slide_id!r} has nothing of this kind") from err
    except FileNotFoundError as err:
        raise NotFoundError(f"the pixels of slide {slide_id!r} are not here") from err
    except (SlideError, OSError) as err:
        log.warning("slide %s: %s", slide_id, err)
        raise RegionError(f"slide {slide_id!r} is damaged: it cannot be read here") from err
