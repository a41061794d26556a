"""What the exit code of a command says."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_MISTAKE = 2  # the user's: one message, and nothing is lost
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it; what was interrupted can go on
