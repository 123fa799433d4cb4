"""Lines of ``results.jsonl``: what was found on each frame, as JSON that grows line by line."""
