"""Backup and point-in-time recovery with pgBackRest: make test-backup."""
