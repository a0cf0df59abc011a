"""The server to compare with: openslide-python's Deep Zoom in a threaded Flask server.

    python -m tests.benchmarks.serving_openslide SLIDE

Written after OpenSlide's documentation of DeepZoomGenerator, with its defaults: tiles of 254 px
with an overlap of 1, JPEG of quality 75 by Pillow, one open slide for all threads.
"""

import io
import logging
import socket
import sys

import openslide
from flask import Flask, Response, abort
from openslide.deepzoom import DeepZoomGenerator

QUALITY = 75


def make_app(location: str) -> Flask:
    """Serve one slide."""
    app, zoom = Flask(__name__), DeepZoomGenerator(openslide.OpenSlide(location), 254, 1)

    @app.route("/slide_files/<int:level>/<int:column>_<int:row>.jpeg")
    def give_tile(level: int, column: int, row: int) -> Response:
        try:
            tile = zoom.get_tile(level, (column, row))
        except ValueError:
            abort(404)
        buffer = io.BytesIO()
        tile.save(buffer, "jpeg", quality=QUALITY)
        return Response(buffer.getvalue(), mimetype="image/jpeg")

    return app


def main() -> None:
    """Say the port, and serve."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request costs time
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    make_app(sys.argv[1]).run("127.0.0.1", port, threaded=True)


if __name__ == "__main__":
    main()
