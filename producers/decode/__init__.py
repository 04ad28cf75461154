"""Logs to sealed messages: compiled for many at once, readable for one."""
