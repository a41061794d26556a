"""Ray: connecting, warm trial actors, ASHA and the searcher.

And the study's journal, which they write.
"""
