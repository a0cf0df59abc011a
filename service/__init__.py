"""The workflows over HTTP: slides, tissue maps, embeddings, jobs, tokens, the viewer."""
