"""The agent on a hospital's edge server: captures, seals, spools and sends, and harms nothing."""
