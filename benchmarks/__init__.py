"""What masking costs; `make bench` runs it."""
