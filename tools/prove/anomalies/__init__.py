"""Planted anomalies in recorded frames: how many a watch finds, and what it finds that nobody planted.

recorded  a collector's frames of the bundled recordings    planting  one anomaly, or less than one, under a seed
scoring   what was found against what was planted           command   the command line
"""
