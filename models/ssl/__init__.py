"""Self-supervised methods: a table, one small file per method, and the pieces that they share."""
