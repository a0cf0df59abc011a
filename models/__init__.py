"""Networks and learning over patch stores: encoders, embeddings, bags, their models and scores."""
