"""`alphapulse units`: systemd units for a configuration."""
