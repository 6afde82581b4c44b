"""From settings to parts: the one place where a configuration becomes a source, a detector and rules.

The live monitor and replay both assemble here, so that neither can run on
anything the other would not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from handguard.capture.sources import open_source
from handguard.config import Settings, zones_for
from handguard.detection.card import DEFAULT, Card, read_card
from handguard.detection.detector import HandDetector, Region, region_round
from handguard.detection.loading import Choice, files_of, load_detector
from handguard.digest import sha256_of
from handguard.errors import ConfigError
from handguard.pipeline import Rules
from handguard.ports import FrameSource
from handguard.safety import camera_trust, interlock
from handguard.safety.zones import ZoneField
from handguard.types import PictureFormat, Zone

SIMULATED = "simulated"
_MS = 1_000_000
_SCENE_SIZE_PX = (1280, 720)


def source_of(settings: Settings, *, live: bool) -> FrameSource:
    """The camera, stream, file, folder or scene that `camera.source` names. Raises `HandguardError`."""
    camera = settings.camera
    size_px = camera.width_px or _SCENE_SIZE_PX[0], camera.height_px or _SCENE_SIZE_PX[1]
    is_told = camera.source == SIMULATED or (camera.width_px and camera.height_px)
    wish = size_px if is_told else None
    return open_source(str(camera.source), live=live, fps=camera.fps, size_px=wish, seed=camera.seed)


def rules_of(settings: Settings, picture: PictureFormat) -> Rules:
    """What the site decided, for pictures of this size. Raises `ConfigError` for zones that do not fit."""
    zones = zones_for(settings, picture)
    fastest_px_s = settings.interlock.fastest_widths_per_s * picture.width_px
    try:
        field = ZoneField(zones, picture.width_px, picture.height_px, fastest_px_s)
    except ValueError as error:
        raise ConfigError(f"{settings.origin.file}: zones: {error}") from error
    limits = interlock.Limits(
        max_frame_age_ns=settings.camera.max_frame_age_ms * _MS,
        edm_timeout_ns=settings.relay.edm_timeout_ms * _MS,
        free_frames=settings.interlock.free_frames,
        restart=interlock.Restart(settings.interlock.restart),
    )
    trust = camera_trust.Limits(frozen_after_repeats=settings.camera.frozen_after_repeats)
    return Rules(field, limits, trust)


def detector_of(
    settings: Settings, zones: Sequence[Zone], picture: PictureFormat, threads: int | None = None
) -> HandDetector:
    """The detector, warmed up, looking at the whole picture or at a crop round the zones.

    `threads` of None: as the settings say, one for each core it is to keep to, or as many as the back end likes.
    """
    wanted = settings.detector
    region = Region(0, 0, picture.width_px, picture.height_px)
    if wanted.region == "zones":
        corners = [np.array(zone.polygon_px, np.float64) for zone in zones]
        region = region_round(corners, (picture.width_px, picture.height_px), wanted.region_margin)
    return load_detector(_choice(settings, threads), region)


def _choice(settings: Settings, threads: int | None = None) -> Choice:
    wanted = settings.detector
    return Choice(
        model=wanted.model or DEFAULT,
        backend=wanted.backend,
        precision=None if wanted.precision == "auto" else wanted.precision,
        min_score=wanted.min_score,
        threads=threads or wanted.threads or len(wanted.cores) or None,
        if_device_lost=wanted.if_device_lost,
    )


def card_of(settings: Settings) -> Card:
    """The card of the network that `detector_of` would load, maybe a twin of the one named. Raises `ModelError`."""
    return read_card(files_of(_choice(settings)))


def model_sha256(settings: Settings) -> str:
    """Names the same network, its weights and its operating point. Raises `ModelError`."""
    files = files_of(_choice(settings))
    read_card(files)  # holds the hash of the weights, and now they fit it
    return sha256_of(files.card)
