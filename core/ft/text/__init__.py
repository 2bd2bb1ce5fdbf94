"""Text from outside: read within bounds, shown without harm, and kept free of secrets."""
