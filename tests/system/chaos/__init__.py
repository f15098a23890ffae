"""The proof that calls survive: faults under load, and a count of what they cost.

    make chaos ARGS="F1 F4" CALLS=50 ROUNDS=20

Every frame that a caller says is numbered, and so is every frame that the agent answers with; each
answer carries a digest of all the agent has heard. So whatever was lost, repeated or put in
another order on the way, through any number of owners, shows as a number.

    frames, score       what the numbered frames are, and what an agent must make of them
    chain_agent         that agent, run by the real workers
    caller, callers     the fake providers; they write down everything in a ledger
    check               ledger + agents' reports -> what was lost, repeated, out of order
    watch, probes       who owns which call when; what is left in Redis and in the processes
    stage               Redis, edges, workers and callers of one run
    row, faults/        one row of the table for each fault, and its verdict
"""
