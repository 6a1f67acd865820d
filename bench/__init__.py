"""Side-by-side benchmarks: our pipeline beside what a user would pick instead, in one run.

`make bench`, or `python -m bench NAME`. Every bench starts what it needs, in a temporary directory, and
measures from outside: wall clock, CPU seconds and peak memory of each process as the kernel counts them, rows
as the lake shows them. It reports what it measured and asserts nothing.
"""
