"""What every HTML page of medsyn shares: style, macros, how numbers are written, pictures inside the page."""
