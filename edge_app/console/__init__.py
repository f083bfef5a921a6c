"""Print results and progress for people, and keep the state behind `watch` and `demo`."""
