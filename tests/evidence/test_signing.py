from __future__ import annotations

import os
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from handguard.errors import ConfigError
from handguard.evidence.chain import Link
from handguard.evidence.signing import PublicKey, SigningKey

LINK = Link(7, bytes(range(32)))


def test_a_signature_vouches_for_one_link_by_one_key():
    key = SigningKey.generate()
    signature = key.sign(LINK)
    assert key.public.confirms(LINK, signature)
    assert not key.public.confirms(Link(8, LINK.hash), signature)
    assert not key.public.confirms(Link(7, bytes(32)), signature)
    assert not SigningKey.generate().public.confirms(LINK, signature)
    assert not key.public.confirms(LINK, signature[:-1])


def test_a_key_is_made_once_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "keys" / "evidence.pem"
    old_mask = os.umask(0)  # the mode must not depend on it
    try:
        made = SigningKey.load_or_create(path)
    finally:
        os.umask(old_mask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load_or_create(path).public == made.public
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "key.pem"
    SigningKey.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"key\.pem: expected mode 0600.*found {mode:04o}"):
        SigningKey.load_or_create(path)


def test_eight_starters_at_once_agree_on_one_key(tmp_path):
    program = (
        "import sys; from pathlib import Path; from handguard.evidence.signing import SigningKey;"
        "print(SigningKey.load_or_create(Path(sys.argv[1])).public.hex)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "key.pem")]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    keys = {starter.communicate(timeout=120)[0].strip() for starter in starters}
    assert len(keys) == 1
    assert len(keys.pop()) == 64


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_file_is_named(tmp_path, data):
    path = tmp_path / "key.pem"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"key\.pem: expected an Ed25519 private key in PEM"):
        SigningKey.load_or_create(path)


def test_a_key_of_another_kind_is_named(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(
        X25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="found X25519PrivateKey"):
        SigningKey.load_or_create(path)


def test_a_key_file_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="a key file that can be read or made"):
        SigningKey.load_or_create(tmp_path / "file" / "key.pem")


def test_a_public_key_is_read_from_hex_a_hex_file_and_a_pem_file(tmp_path):
    public = SigningKey.generate().public
    (tmp_path / "key.hex").write_text(public.hex + "\n")
    (tmp_path / "key.pub").write_bytes(
        Ed25519PublicKey.from_public_bytes(public.raw).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    assert (
        PublicKey.read(public.hex)
        == PublicKey.read(tmp_path / "key.hex")
        == PublicKey.read(tmp_path / "key.pub")
    )
    assert PublicKey.read(public.hex) == public


def test_a_bad_public_key_is_named(tmp_path):
    (tmp_path / "key.pub").write_text("hello")
    with pytest.raises(ConfigError, match=r"key\.pub: expected an Ed25519 public key"):
        PublicKey.read(tmp_path / "key.pub")
    with pytest.raises(ConfigError, match="64 hex digits or a public key file"):
        PublicKey.read(tmp_path / "nothing")


def test_a_fingerprint_is_short_and_belongs_to_the_key():
    public = SigningKey.generate().public
    assert public.fingerprint.startswith("ed25519:")
    assert len(public.fingerprint) == 24
    assert public.fingerprint == PublicKey(public.raw).fingerprint != SigningKey.generate().public.fingerprint
