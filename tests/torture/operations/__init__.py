"""Long operations that are interrupted: what each works on, what the catalog says afterwards."""
