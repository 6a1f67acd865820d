"""What tests/compare.py is made of: the lake replayed, the sources read, both compared and reported."""
