"""`If-None-Match`, in one place: does the client have this version already?"""


def is_known(asked: str | None, etag: str) -> bool:
    """Whether the header names this version; compared weakly, as is right for a GET (RFC 9110).

    Args:
        asked: the header, None where there is none.
        etag: with its quotes.
    """
    known = {one.strip().removeprefix("W/") for one in (asked or "").split(",")}
    return etag in known or "*" in known
