"""The workflows over HTTP. Nothing here yet: the package holds its place in the layers."""
