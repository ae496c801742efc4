"""A comparison written down: Markdown, HTML, figures and a table of runs."""
