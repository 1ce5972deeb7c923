"""The rows of the table, a module for each group: `run(stage)` measures its arms and adds its results."""
