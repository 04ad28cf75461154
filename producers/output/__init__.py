"""What goes into the ring: events, what is said about blocks, pools and tick maps, in order and numbered."""
