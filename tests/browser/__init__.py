"""Widgets in the programs that people work in, in Chromium."""
