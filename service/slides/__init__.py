"""Slides by ID: registered, uploaded, or known from an archive; their pixels."""
