"""The contract events that the project understands."""
