"""`alphapulse backtest`: runs in processes of their own, their report and their tables."""
