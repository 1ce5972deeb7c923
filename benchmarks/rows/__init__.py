"""The rows of the table, a module for each group: `ROWS`, and `run(stage)`, which measures their arms."""
