"""What the machine can do at best, beside what we do in the same run; and every row of the table of targets."""
