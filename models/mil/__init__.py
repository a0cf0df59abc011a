"""Multiple-instance learning: one label per bag of embeddings, of a slide or of a patient."""
