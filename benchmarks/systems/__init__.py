"""The built-in systems: settings by hand beside what searches find, all on fresh seeds."""
