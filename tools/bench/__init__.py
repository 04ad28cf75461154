"""`alphapulse bench`: every part measured beside a baseline of the same run."""
