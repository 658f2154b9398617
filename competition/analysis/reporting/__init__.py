"""The error analysis as a page and in a notebook: sections of prose, tables, figures and crops."""
