"""Kafka: topics as feeds and data sets, and sinks that no crash makes lose or double an event.

May not live here: anything but the package; each module holds one noun.
"""
