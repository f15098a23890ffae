"""Which calls are this worker's: how they are taken, kept, committed, handed over and finished."""
