"""The command line as an operator runs it: in processes of its own, on embedded and external databases."""
