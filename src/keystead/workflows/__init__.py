"""Whole workflows that drive both wings: demo and dev."""
