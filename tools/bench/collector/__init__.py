"""The collector measured: decoding, rates, memory, its longest steps, tick maps."""
