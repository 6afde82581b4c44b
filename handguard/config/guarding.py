"""From settings to the values that the safety core takes.

Live and replay build their rules through these, so a setting means the same to both.
"""

from __future__ import annotations

from handguard.config.schema import Settings
from handguard.config.zones import zones_for
from handguard.safety import camera_trust, interlock
from handguard.safety.zones import ZoneField
from handguard.types import PictureFormat

MS = 1_000_000
FASTEST_WIDTHS_PER_S = 4.0  # a hand at 2 m/s (ISO 13855) in a picture that shows half a metre


def zone_field(settings: Settings, picture: PictureFormat) -> ZoneField:
    """The zones of this picture. Raises `ConfigError` naming each polygon that does not fit it."""
    fastest_px_s = FASTEST_WIDTHS_PER_S * picture.width_px
    return ZoneField(zones_for(settings, picture), picture.width_px, picture.height_px, fastest_px_s)


def interlock_limits(settings: Settings) -> interlock.Limits:
    """The numbers of the interlock."""
    return interlock.Limits(
        max_frame_age_ns=settings.camera.max_frame_age_ms * MS,
        edm_timeout_ns=settings.relay.edm_timeout_ms * MS,
        free_frames=settings.interlock.free_frames,
        restart=interlock.Restart(settings.interlock.restart),
    )


def trust_limits(settings: Settings) -> camera_trust.Limits:
    """When a picture is no longer believed."""
    return camera_trust.Limits(frozen_after_repeats=settings.camera.frozen_after_repeats)
