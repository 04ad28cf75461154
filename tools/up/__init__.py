"""`alphapulse up`: the processes of a configuration, run by the supervisor package.

    up --lock, settings, supervisord.conf--> tools.up.daemon (supervisord) --fork--> alphapulse --process NAME ...
    up, status, restart, down --XML-RPC over a Unix socket--> supervisord

Everything stands in a directory of mode 0700 (`run_directory`).  The lock in it is supervisord's for as long as it
lives, so a second `up` of the same file is refused; each process ends when supervisord does, however that happens.
"""
