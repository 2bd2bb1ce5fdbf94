"""The machine: devices, memory, signals, files, random numbers, and what people see while it works."""
