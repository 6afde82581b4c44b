"""Ourselves, by the same rules: the detector of the stop path, whole picture, at ordinary priority.

    handguard_peer.py PICTURES MODEL
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from speaking import answer

from handguard.detection.detector import Region
from handguard.detection.loading import Choice, load_detector
from handguard.types import Frame

pictures = np.load(sys.argv[1])
detector = load_detector(Choice(sys.argv[2]), Region(0, 0, pictures.shape[2], pictures.shape[1]))
answer(f"handguard {detector.description}", lambda picture: detector.detect(Frame(0, 0, picture)))
