"""SQL beside the function that runs it, one file per domain noun."""
