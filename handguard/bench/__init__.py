"""How fast the stop path is, and what makes it slower: measured on the running product, not on parts of it.

    pictures    frames of the site's own footage, held in memory and shown at the camera's pace
    stopwatch   clocks at the joints of a live run: detector, network, permit line
    course      one live run with its keeper, board, recorder and evidence, timed
    company     what else may run on the machine: a hog, a viewer, a stopped viewer, a frozen disk
    bare        the detector's call against the compiled network alone, turn by turn
    starting    from the start of the program to the first judged frame, stage by stage
    worker      each of these in a process of its own, so that nothing measured has a past
    bench       which of them run, and in what order
    telling     tables for a person, and a histogram

A live run is made by `watch`, as `handguard run` makes it. The clocks are put round its
parts from outside; no code of the stop path knows that it is being timed.
"""
