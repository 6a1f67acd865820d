"""Who has sent what, how far each table is, who may send: the centre's book, in SQL."""
