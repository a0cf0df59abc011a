"""Sites that learn together: what they exchange, rounds, and what runs them. No transport here."""
