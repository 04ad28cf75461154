"""The ring measured between pinned processes."""
