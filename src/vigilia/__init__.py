"""Vigilia."""
