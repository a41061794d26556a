"""A study on the disk: its folder, description and journal, and the record of what is read."""
