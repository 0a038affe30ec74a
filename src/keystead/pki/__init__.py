"""X.509 as pure functions: time, serial numbers and randomness are arguments."""
