"""MediaPipe Hands as its own examples use it, for two hands.

    mediapipe_peer.py PICTURES video | still

video: a hand that was found is followed, and the palm detector runs only when none is;
still: the palm detector runs on every picture, as a stop path would need it.
"""

from __future__ import annotations

import sys

import mediapipe as mp
import numpy as np
from speaking import answer

STILL = sys.argv[2] == "still"
hands = mp.solutions.hands.Hands(static_image_mode=STILL, max_num_hands=2, model_complexity=1)


def detect(picture: np.ndarray) -> object:
    return hands.process(np.ascontiguousarray(picture[:, :, ::-1])).multi_hand_landmarks


answer(f"MediaPipe Hands {mp.__version__}, {sys.argv[2]} pictures", detect)
