"""Embeddings of every patch of an archive. The coordinator's modules load no torch; tasks do."""
