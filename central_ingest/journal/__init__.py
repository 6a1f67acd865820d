"""Every admitted envelope as it was signed, in order, on disk before its receipt."""
