"""One thin file a command group: parses, calls, prints. No decisions."""
