"""The page of a run, report.html: what its folder says, gathered and put into sections."""
