"""Ready-made patches and volumes into an archive, each slide committed as the tiler commits."""
