"""The embedded AWS emulator: started, guarded and kept safe by imgpipe."""
