"""Captures, masked with the same core and the same audit as topics are: from a file into files.

reading    records of a capture, checked, and in batches      replaying  masks batches: lines of records, lines of entries
manifests  what a replay was made with, and where it ends     whole      files that come about together or not at all
parted     lines of a file by what they are about             checking   whether the files are what their audit says
"""
