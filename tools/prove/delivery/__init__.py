"""Row 31: every process between a ring and its readers is killed, and nothing is lost."""
