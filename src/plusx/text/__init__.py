"""Networks as text: tables, prose, notation, records. Standard library alone."""
