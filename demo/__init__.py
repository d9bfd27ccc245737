"""The demo: the main job on live changes, from an empty machine to masked topics and audit rows."""
