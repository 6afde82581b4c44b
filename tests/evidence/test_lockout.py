"""The lockout's file: locked unless it is proven clear, and on disk as soon as it happens."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handguard.errors import ConfigError
from handguard.evidence import lockout as lockout_module
from handguard.evidence.lockout import (
    DAMAGED,
    LOCKOUT,
    MISSING,
    UNSAVED,
    LockoutFile,
    LockoutKeeper,
    Standing,
    held,
    lockout_file,
)
from handguard.evidence.signing import KEY_NAME, SigningKey
from handguard.types import Decision, Output, Permit, StageTimes, State

LOCKED = Standing(True, "fault: contactor", "20260101-000000Z", "2026-01-01T00:00:00.000000Z")
CLEARED = Standing(False, "fault: contactor", "20260101-000000Z", "2026-01-02T00:00:00.000000Z", "Ada", "new K1")
PERMIT = Permit(1, 0, 0, 0, Output.OFF)


@pytest.fixture
def file(tmp_path: Path) -> LockoutFile:
    return lockout_file(tmp_path, tmp_path / KEY_NAME)


def decision(state: State) -> Decision:
    return Decision(0, StageTimes(0, 0, 0, 0), None, (), state, Output.OFF, "fault: weld")


def saved(keeper: LockoutKeeper, limit_s: float = 20.0) -> bool:
    give_up_s = time.monotonic() + limit_s
    while keeper.faults and time.monotonic() < give_up_s:
        time.sleep(0.01)
    return not keeper.faults


def test_a_machine_that_never_ran_is_clear_and_has_its_file_from_then_on(file, tmp_path):
    assert file.read() == Standing(False)
    assert (tmp_path / LOCKOUT).exists()


@pytest.mark.parametrize("standing", [LOCKED, CLEARED])
def test_what_is_written_is_read_again(file, standing):
    file.write(standing)
    assert file.read() == standing


def test_a_missing_file_of_a_machine_that_has_run_is_a_lockout(file, tmp_path):
    file.path.unlink()
    assert file.read() == lockout_file(tmp_path, tmp_path / KEY_NAME).read() == Standing(True, MISSING)


def test_a_new_key_beside_an_old_file_does_not_clear_it(file, tmp_path):
    file.write(LOCKED)
    (tmp_path / KEY_NAME).unlink()
    assert lockout_file(tmp_path, tmp_path / KEY_NAME).read() == Standing(True, DAMAGED)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[" * 5000, b'{"hash":"00","record":{}}\n'])
def test_a_damaged_file_is_a_lockout(file, content):
    file.path.write_bytes(content)
    assert file.read() == Standing(True, DAMAGED)


def test_every_cut_and_every_changed_byte_is_a_lockout(file):
    file.write(CLEARED)
    whole = file.path.read_bytes()
    for at in range(0, len(whole), 9):
        for spoilt in (whole[:at], whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]):
            file.path.write_bytes(spoilt)
            assert file.read().locked, at


def test_a_file_signed_by_another_key_is_a_lockout(file, tmp_path):
    LockoutFile(tmp_path, SigningKey.generate()).write(CLEARED)
    assert file.read() == Standing(True, DAMAGED)


def test_a_file_that_cannot_be_read_is_a_lockout(file):
    file.path.unlink()
    file.path.mkdir()
    assert file.read() == Standing(True, DAMAGED)


def test_an_emptied_file_is_a_lockout(file):
    file.spoil()
    assert file.read() == Standing(True, DAMAGED)


# The keeper --------------------------------------------------------------------------------


def test_the_first_tick_of_a_lockout_is_put_on_disk_with_its_cause_and_run(file):
    keeper = LockoutKeeper(file, "tonight")
    keeper.record(decision(State.TRIPPED), PERMIT)
    assert not file.read().locked
    keeper.record(decision(State.LOCKOUT), PERMIT)
    assert saved(keeper)
    standing = file.read()
    assert (standing.locked, standing.cause, standing.run) == (True, "fault: weld", "tonight")
    keeper.close()
    keeper.close()


def test_a_lockout_that_was_taken_up_keeps_its_first_cause_and_time(file):
    file.write(LOCKED)
    keeper = LockoutKeeper(file, "tonight")
    assert keeper.cause == "fault: contactor"
    keeper.record(decision(State.LOCKOUT), PERMIT)
    keeper.close()
    assert file.read() == LOCKED


def test_a_clear_machine_takes_up_nothing(file):
    file.write(CLEARED)
    assert LockoutKeeper(file, "tonight").cause is None


def test_a_full_disk_leaves_a_damaged_file_until_it_takes_the_whole_one(file, monkeypatch):
    def is_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lockout_module, "RETRY_S", 0.02)
    with monkeypatch.context() as full:
        full.setattr(lockout_module, "write_atomically", is_full)
        keeper = LockoutKeeper(file, "tonight")
        keeper.record(decision(State.LOCKOUT), PERMIT)
        give_up_s = time.monotonic() + 20
        while not file.read().locked and time.monotonic() < give_up_s:
            time.sleep(0.01)
        assert file.read() == Standing(True, DAMAGED)
        assert keeper.faults == {UNSAVED}
    assert saved(keeper)
    assert file.read().cause == "fault: weld"
    keeper.close()


def test_a_disk_that_takes_nothing_at_all_is_given_up_at_the_end(file, monkeypatch):
    def is_gone(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lockout_module, "write_atomically", is_gone)
    monkeypatch.setattr(LockoutFile, "spoil", is_gone)
    keeper = LockoutKeeper(file, "tonight")
    keeper.record(decision(State.LOCKOUT), PERMIT)
    keeper.close()
    assert keeper.faults == {UNSAVED}


# The folder --------------------------------------------------------------------------------


def enter(folder: Path, *, alone: bool) -> None:
    with held(folder, alone=alone):
        pass


def refused(why: str):
    return pytest.raises(ConfigError, match=why)


def test_monitors_share_a_folder_and_service_wants_it_alone(tmp_path):
    with held(tmp_path, alone=False), held(tmp_path, alone=False), refused("no monitor at work on it: stop it first"):
        enter(tmp_path, alone=True)
    with held(tmp_path, alone=True), refused("no service at work on it"):
        enter(tmp_path, alone=False)


def test_a_killed_monitor_lets_the_folder_go(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom handguard.evidence.lockout import held\n"
        "with held(Path(sys.argv[1]), alone=False):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with refused("no monitor at work on it"):
        enter(tmp_path, alone=True)
    holder.kill()
    holder.communicate()
    enter(tmp_path, alone=True)


def test_the_file_is_one_line_that_a_person_can_read(file):
    file.write(LOCKED)
    told = json.loads(file.path.read_text())["record"]
    assert (told["locked"], told["cause"]) == (True, "fault: contactor")
