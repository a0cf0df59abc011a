"""Networks and learning over patch stores. Nothing here yet: the package holds its place in the layers."""
