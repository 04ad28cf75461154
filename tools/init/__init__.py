"""`alphapulse init`: a configuration to begin with."""
