"""What is wrong on this machine: a table of checks over a subscriber's folder, a CA's home, a live server."""
