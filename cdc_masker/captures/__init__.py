"""Captures, masked with the same core and the same audit as topics are: into files, or into Kafka.

reading    records of a capture, checked, and in batches      replaying  masks batches: lines of records, lines of entries
manifests  what a replay was made with, and where it ends     whole      files that come about together or not at all
parted     lines of a file by what they are about             checking   whether the files are what their audit says
publishing into Kafka, by what workers have for a partition
"""
