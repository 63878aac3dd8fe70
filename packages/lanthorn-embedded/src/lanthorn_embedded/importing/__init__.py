"""`lanthorn import`: what another server holds comes to a running Lanthorn."""
