"""The edges: PostgreSQL, the vendors, files; each behind functions that speak in domain values."""
