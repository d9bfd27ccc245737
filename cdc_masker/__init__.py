"""Masks personal data in Debezium change streams."""

__version__ = "0.1.0"
