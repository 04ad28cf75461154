"""Commands that see file systems of their own: small disks, an empty /dev/shm."""

from __future__ import annotations

import os

OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
"""What is mounted below it is seen there alone, and is gone when it ends (unshare(1))."""
