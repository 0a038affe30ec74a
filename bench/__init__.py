"""Side by side with other people's programs: medians of interleaved rounds, and ratios."""
