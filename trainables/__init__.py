"""The tasks that can be searched, and the one training loop they share.

Nothing here knows of Ray or Optuna.
"""
