"""The whole system for hours, with things going wrong: `make soak`, or `python -m benchmarks.soak --hours 2`.

    camera    a process: the drawn scene, sent as an IP camera would; knows what was true
    site      the program `handguard run` on a console of its own, two boards in series, a service manager
    person    presses the reset, and sometimes at the wrong moment
    faults    what goes wrong, drawn by chance with a seed
    observer  says whether the machine might run although it may not
    account   counts, times and memory afterwards; pictures and a page from them

The observer imports nothing of the product. It hears the camera's and the boards'
own logs and what was done to the processes, and knows only what a person with a
stop watch could know: when a hand was in the zone, when the last picture was sent,
when somebody was killed, when the button was pressed, and when the contacts moved.
"""
