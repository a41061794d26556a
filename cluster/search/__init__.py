"""What to try, and when to stop: the study, its sampler and ASHA. No Ray in here."""
