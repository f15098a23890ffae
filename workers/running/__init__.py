"""One call as its agent lives it: events in, one handler after another, commands out."""
