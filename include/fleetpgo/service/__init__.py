"""Service files: their rules, reading them with the line of each mistake, and their reference page."""
