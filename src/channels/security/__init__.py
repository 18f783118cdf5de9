"""What keeps other sites' pages from using a visitor's connection."""
