"""GPT-2 as a sequence classifier, in four generations."""
