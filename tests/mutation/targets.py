"""What is mutated, and by which tests each mutant must be noticed (quick ones first).

`relay.keeper_process` is not here: it decides nothing, and its tests use real pipes,
terminals and time, so that a trial of it takes minutes and proves little on a busy machine.
"""

from __future__ import annotations

KEEPER = (
    "tests/relay/test_keeper_schedule.py",
    "tests/relay/test_keeper_memory.py",
    "tests/relay/test_keeper.py",
)
TARGETS: dict[str, tuple[str, ...]] = {
    "handguard/safety/camera_trust.py": ("tests/safety/test_camera_trust.py", "tests/test_pipeline.py"),
    "handguard/safety/interlock.py": (
        "tests/safety/test_interlock.py",
        "tests/test_pipeline.py",
        "tests/safety/test_interlock_sequences.py",
    ),
    "handguard/safety/limits.py": ("tests/safety/test_limits.py",),
    "handguard/safety/timing.py": ("tests/safety/test_timing.py",),
    "handguard/safety/zones.py": ("tests/safety/test_zones.py", "tests/safety/test_zones_properties.py"),
    "handguard/pipeline.py": (
        "tests/test_pipeline.py",
        "tests/test_pipeline_standby.py",
        "tests/test_pipeline_machine.py",
    ),
    "handguard/relay/keeper_state.py": KEEPER,
    "handguard/relay/keeper.py": KEEPER,
}
