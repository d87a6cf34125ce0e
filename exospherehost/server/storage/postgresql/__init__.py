"""PostgreSQL, with psycopg."""
