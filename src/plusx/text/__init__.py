"""Networks as text: tables, prose, notation, records. Imports the standard library, and wcwidth for wide characters."""
