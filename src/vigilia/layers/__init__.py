"""Layers that several models share: plain functions and thin modules."""

from __future__ import annotations
