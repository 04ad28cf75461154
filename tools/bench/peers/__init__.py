"""Other ways to hand bytes from one Python process to others, and logs from a node to a program, beside ours.

    transports/  one file a peer: how its ends are opened, sent to and received from
    worker       what a process of a peer does in a turn, and that what arrives is what was sent
    team         the processes of one peer: started, pinned, given orders, ended within a bound
    rounds       who is when: interleaved rounds of short turns, in rotated order
    feed/        the same for logs of the recording node
    machine      what else the machine did between the turns
    table        the rows of `alphapulse bench --only peers`

A reading is the median over rounds.  A peer that is not installed, hangs or dies gets rows that say so, and the others
go on.
"""
