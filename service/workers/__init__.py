"""Several processes as one service: a parent reserves the port, runs workers that share it, and a sequencer."""
