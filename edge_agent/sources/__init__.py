"""Where records come from: one contract, one module per kind of source."""
