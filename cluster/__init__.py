"""Ray: connecting, warm trial actors, ASHA and the searcher; and the study's journal, which they write."""
