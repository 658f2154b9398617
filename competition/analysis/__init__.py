"""Looks at data and results and reports what it sees: findings, tables, pages."""
