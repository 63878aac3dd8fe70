"""What every process needs to run: settings, logs, signals, health, metrics."""
