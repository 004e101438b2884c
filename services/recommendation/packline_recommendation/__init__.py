"""The recommendation task: from an event log to recommendations."""
