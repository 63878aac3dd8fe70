"""What the services tell of themselves while they run: metrics and traces.

At the bottom of the layers, so that whatever does the work can say so itself.
"""
