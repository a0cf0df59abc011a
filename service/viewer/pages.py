"""The pages: the viewer at `/`, its files below `/viewer/`, the description of the API at `/docs`.

They hold no data and ask for no token; what they show comes from the API, which does.
"""

from fastapi import APIRouter, Request, Response

from service.errors import NotFoundError
from service.etags import is_known
from service.viewer.files import ViewerFile
from service.wire.compression import takes_gzip

router = APIRouter(include_in_schema=False)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",  # icons in Swagger UI's style sheet; pictures to be saved
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Everything comes from this server; nothing in a page itself is run or styled."""

YEAR = "public, max-age=31536000, immutable"
ASK = "no-cache"
"""May be kept, but is asked for again each time: mostly answered with 304."""

METHODS = ["GET", "HEAD"]


@router.api_route("/", methods=METHODS)
def viewer_page(request: Request) -> Response:
    """Give the viewer."""
    return _answer(request, "index.html")


@router.api_route("/docs", methods=METHODS)
def docs_page(request: Request) -> Response:
    """Give the description of the API."""
    return _answer(request, "docs.html")


@router.api_route("/viewer/{path:path}", methods=METHODS)
def viewer_file(request: Request, path: str) -> Response:
    """Give a file of the pages."""
    return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    """Send a file whole, zipped where the client can take that, or say that it is still the same.

    Raises:
        NotFoundError: there is none.
    """
    files: dict[str, ViewerFile] = request.app.state.viewer
    if path not in files:
        raise NotFoundError("there is no such page")
    file = files[path]
    headers = {
        "ETag": file.etag,
        "Cache-Control": YEAR if file.lasting else ASK,
        "Vary": "Accept-Encoding",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",  # an address names a slide
    }
    if is_known(request.headers.get("If-None-Match"), file.etag):
        return Response(status_code=304, headers=headers)
    content = file.content
    if file.zipped is not None and takes_gzip(request.headers.get("Accept-Encoding", "")):
        content = file.zipped
        headers |= {"Content-Encoding": "gzip", "ETag": f"W/{file.etag}"}
    return Response(content, headers=headers, media_type=file.media_type)
