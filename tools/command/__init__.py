"""What the commands share: the group, configuration, options of endpoints, logs, signals, child processes."""
