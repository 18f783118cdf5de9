"""The `channels` command, one file for each of its commands."""
