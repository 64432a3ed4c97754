"""Networks and figures as SVG. Imports the standard library only; PNG and PDF need plusx[draw]."""
