"""Networks and learning over patch stores: a place in the layers, empty so far."""
