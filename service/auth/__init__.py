"""Who may do what: tokens, scopes, limits, and the record of who did what."""
