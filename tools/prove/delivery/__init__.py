"""Row 31: between a ring and its readers everything is killed, and nothing is lost."""
