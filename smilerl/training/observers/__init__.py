"""What watches a run while it trains: progress, metrics, held-out samples, trackers."""
