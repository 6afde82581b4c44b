"""Pages for people: one file each, with every picture and drawing inside, made to be read and printed.

    markup        text becomes HTML here, and is escaped here
    timeline      states, zones and truth over time
    trajectories  where hands went, over a still picture
    stills        the pictures of the trips, decoded once more from the recording
    charts        latencies, and the stages from capture to the wire
    sections      the parts that every page is made of
    pages         the audit, one recording, one live run
"""
