"""The web pages: the viewer at /, the documentation of the API at /docs."""
