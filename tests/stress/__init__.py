"""Proofs that run for as long as one likes: `./dev stress` runs their large numbers, tests/crash their small ones.

May not live here: benchmarks, and tests that pytest collects.
"""
