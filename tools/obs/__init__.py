"""What a pipeline on this machine does, for Prometheus, for load balancers and for programs."""
