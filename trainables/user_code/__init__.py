"""Code of the user's own: found, looked at, run, and what it changed in the process put back."""
