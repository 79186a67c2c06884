"""Compiled hot loops (numba), and nothing else."""
