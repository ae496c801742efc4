"""A comparison written down: Markdown, HTML, figures, tables as files and a table of runs."""
