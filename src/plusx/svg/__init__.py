"""Networks and figures as SVG. Standard library alone; PNG and PDF need plusx[draw]."""
