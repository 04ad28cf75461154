"""The chains a collector can serve, and how their factories derive a pool's address."""
