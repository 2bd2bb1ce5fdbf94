"""The contract with plugins: records, hooks, and how what is installed or named by file is found."""
