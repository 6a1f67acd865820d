"""One pure module per SQL dialect: quoting, predicates, limits, session settings, type map."""
