"""From envelopes in order to tables: `changes`, and `current` derived from it."""
