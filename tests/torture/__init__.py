"""What is killed, starved of disk or run twice must end as if nothing had happened.

    python -m tests.torture --minutes=45 --seed=0 --state=torture.json [--only=prep,predict]

A campaign (`campaigns.py`) is a command with its inputs, and what of its output has to be equal.
A disturbance (`disturbances.py`) is one way to spoil a run of it. A trial is one output directory
that is disturbed, often several times, after which the same command has to end in the bytes of an
undisturbed run; what was disturbed has to end in one clear line, or by the signal alone. Each trial
is a function of (seed, campaign, disturbance, number), as far as a busy machine lets it be.
"""
