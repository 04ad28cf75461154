"""`alphapulse trace`: the way of one event, or of the slowest ones, from the stamps that are there.

frames      the frames of a ring or a journal           signals    what strategies said of which frame
chronicle   one pass: the event and what stands around  unstamped  what is known of hops without a stamp
hops        stamps to hops, and what they do not mean   model      what is said
text, chrome, otlp                                      the three forms besides JSON
"""
