"""A journal as selected frames and as tables: one per record type, its columns exact, in Arrow, Parquet, pandas, CSV.

selection   which messages and which range of the ring are wanted
segments    which segments can hold any of it, and their records, one scan at a time
frames      the selected frames in order, with the losses between them
kernels     choose messages, list their records, copy fields into columns
statements  what each message says about a block
contested   about which blocks the journal says more than one thing
verdicts    which messages about those stand
canonical   the frames that the canonical view leaves out
columns     which columns a record type has, and blocks of rows as bytes
scan        segments to blocks, several segments at once
derived     block times and prices
arrow       blocks to Arrow, without a copy
amounts     256-bit integers as Python ints, decimals and floats
readable    batches for people: pandas, CSV, JSON lines
files       Parquet, CSV and JSON lines on disk
"""
