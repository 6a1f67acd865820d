"""Never changed once they were released: a ledger somewhere has run them."""
