"""The command line as an operator runs it: in its own processes, on embedded and external databases."""
