"""Ed25519 keys: the private half signs heads here, the public half proves them anywhere.

The private key is a PEM file that only its owner can read. It is made on first
use, whole or not at all, and a key that others can read is refused: whoever can
read it can write history.

    SigningKey.load_or_create(path)   the machine's own key
    PublicKey.read("…")               64 hex digits, or a file that holds them (or PEM)
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from handguard.errors import ConfigError, mismatch
from handguard.evidence.chain import Link

KEY_NAME = "signing-key.pem"  # in the folder of the runs
_PURPOSE = b"handguard evidence head 1\n"  # so that a signature can mean nothing else
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The half that anybody may hold. Equal keys compare equal."""

    raw: bytes  # 32

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise ConfigError(mismatch("public key", "32 bytes", f"{len(self.raw)} bytes"))

    @classmethod
    def read(cls, text_or_path: str | Path) -> PublicKey:
        """From 64 hex digits or from a file with those or with PEM. Raises `ConfigError`."""
        path = Path(text_or_path)
        if _is_hex_key(str(text_or_path)):
            return cls(bytes.fromhex(str(text_or_path)))
        try:
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            raise ConfigError(mismatch(str(path), "64 hex digits or a public key file", error)) from error
        return cls.from_file_bytes(data, str(path))

    @classmethod
    def from_file_bytes(cls, data: bytes, where: str) -> PublicKey:
        """Parse what a public key file holds; `where` names it in the error."""
        text = data.decode("ascii", "replace").strip()
        if _is_hex_key(text):
            return cls(bytes.fromhex(text))
        try:
            key = serialization.load_pem_public_key(data)
        except ValueError as error:
            raise ConfigError(mismatch(where, "an Ed25519 public key (hex or PEM)", error)) from error
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(mismatch(where, "an Ed25519 public key", type(key).__name__))
        return cls(key.public_bytes_raw())

    @property
    def hex(self) -> str:
        """64 hex digits, as the genesis record holds them."""
        return self.raw.hex()

    @property
    def fingerprint(self) -> str:
        """Short enough to read over the telephone: `ed25519:` and 16 hex digits of its SHA-256."""
        return "ed25519:" + hashlib.sha256(self.raw).hexdigest()[:16]

    def confirms(self, link: Link, signature: bytes) -> bool:
        """True if the private half signed exactly this link."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, _message(link))
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """The half that stays on the machine.

    Synchronization: none required (immutable).
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes_raw())

    @classmethod
    def load_or_create(cls, path: Path) -> SigningKey:
        """The key in `path`, made there (mode 0600) if there is none. Raises `ConfigError`."""
        try:
            if not path.exists():
                _create(path)
            return cls(_load(path))
        except OSError as error:
            raise ConfigError(mismatch(str(path), "a key file that can be read or made", error)) from error

    @classmethod
    def generate(cls) -> SigningKey:
        """A key that is kept nowhere."""
        return cls(Ed25519PrivateKey.generate())

    def sign(self, link: Link) -> bytes:
        """64 bytes that vouch for `link` and so for every record before it."""
        return self._private.sign(_message(link))


def _message(link: Link) -> bytes:
    return _PURPOSE + link.seq.to_bytes(8, "big") + link.hash


def _is_hex_key(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdefABCDEF")


def _create(path: Path) -> None:
    """Write a new key under another name, then link it in place: two starters agree on one key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(_pem(Ed25519PrivateKey.generate()))
            file.flush()
            os.fsync(file.fileno())
        _link_unless_there(fresh, path)
    finally:
        fresh.unlink()


def _link_unless_there(fresh: Path, path: Path) -> None:
    with suppress(FileExistsError):  # another process was first; its key is loaded next
        os.link(fresh, path)


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load(path: Path) -> Ed25519PrivateKey:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & _OTHERS:
            raise ConfigError(mismatch(str(path), "mode 0600 (readable by its owner only)", f"{mode:04o}"))
        data = file.read()
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(mismatch(str(path), "an Ed25519 private key in PEM, no password", error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(mismatch(str(path), "an Ed25519 private key", type(key).__name__))
    return key
