"""The simulated shredder scene: what stands on the table, who reaches, and what is true.

Everything is drawn from numbers: `anatomy` poses a hand as chains of capsules,
`relief` turns it into a height map, `materials` dresses it in skin, glove and
cloth, `stage` builds the table with its intake, `parcels` makes what is fed,
`motion` moves the operator, `optics` is the camera, and `truth` answers where
the hands really were. No photograph and no recording goes into it.
"""
