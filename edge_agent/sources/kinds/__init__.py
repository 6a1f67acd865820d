"""Kinds of files: what a file of each is to the lake. One module a format; `kind` is their seam."""
