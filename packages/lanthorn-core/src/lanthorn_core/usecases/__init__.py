"""Protocol-free verbs over ports: one for each thing the system can be asked to do."""
