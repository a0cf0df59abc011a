"""Bags: one slide's embeddings for other tools, one module per format, in one table."""
