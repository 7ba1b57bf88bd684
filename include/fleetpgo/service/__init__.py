"""What a service file says: its rules, reading it with the line of each mistake, and its reference page."""
