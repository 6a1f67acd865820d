"""The daemon at the data centre: verifies, journals, receipts and lands what the edge agents send."""
