"""Pages: what is to be shown of runs, drawn as one HTML file that needs nothing but itself. No torch in here."""
