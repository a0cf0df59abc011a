"""What lies in the archives: maps, patches, embeddings, and which patches are alike."""
