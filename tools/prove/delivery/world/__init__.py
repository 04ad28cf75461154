"""A simulated world of delivery: producer, recorder, relay and client under one seed and a virtual clock."""
