"""The parts of the report page: facts, pictures, plots, and the page itself."""
