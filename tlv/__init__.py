"""The messages: headers, records and their layouts, read and written in Python and in kernels."""
