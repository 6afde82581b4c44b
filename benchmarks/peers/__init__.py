"""Other detectors on the same pictures, each in a process and a virtual environment of its own.

A peer is a program: it is given the pictures as one .npy file `(N, H, W, 3)` uint8, blue-green-red,
and answers each line `NUMBER` on its standard input with one line: how many milliseconds it took
from the picture in memory to boxes in that picture's pixels, by its own clock. Its first line
says who it is. A peer that cannot be loaded, or goes away, is left out, loudly, with its reason.
"""
