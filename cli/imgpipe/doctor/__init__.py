"""`imgpipe doctor`: what each target needs, looked at without changing anything."""
