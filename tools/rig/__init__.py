"""What campaigns, benchmarks and tests share: real nodes, a real broker, processes, an outcome's shape."""
