"""The commands, one file or folder each, and what proves and measures the project."""
