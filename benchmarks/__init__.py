"""Figures side by side: this package's server and consumers, the peers', and the limit."""
