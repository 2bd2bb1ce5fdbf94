"""A finished run taken along: its model in another form, proved equal there, with what it takes to use it."""
