"""Recordings judged again, by the code that judges live.

    source ── ahead ──▶ ticks ── advance ──▶ Tick ──▶ decision_file · annotate · summary
                          ▲
              clock · contactor · operator: virtual, so that equal input gives equal bytes

`replay` is the way in, from a video to its results; `approaches` holds the
decisions against what is known to be in the picture.
"""
