"""SwanLab, kept at arm's length: it follows the files of a run and can neither fail nor slow it."""
