"""Watches a running command and logs its operators."""
