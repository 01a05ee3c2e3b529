"""One program for each contender: a warm worker that processes pictures when told to, and measures itself."""
