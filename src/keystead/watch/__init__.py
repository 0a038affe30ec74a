"""What expires and what is wrong, across both wings."""
