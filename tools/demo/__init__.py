"""`alphapulse demo`: the whole pipeline on a bundled recording, in one terminal."""
