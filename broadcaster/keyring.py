"""Keys derived from one secret, and what is done with them: hash, encrypt, sign.

Every purpose has a key of its own (HKDF-SHA256 with the purpose as info). The secret's key id
travels with what it made, so old secrets keep opening what they closed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = 1
_NONCE = 12


class UndecipherableError(ValueError):
    """A value was closed with a secret that is not configured, or was tampered with or moved."""


class _Keys:
    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.key_id = self._derive("key id")[0]

    def _derive(self, purpose: str) -> bytes:
        info = f"broadcaster/{purpose}".encode()
        return HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(self._secret)

    @cached_property
    def address_hash(self) -> bytes:
        return self._derive("address hash")

    @cached_property
    def aead(self) -> AESGCM:
        return AESGCM(self._derive("encryption"))

    @cached_property
    def session(self) -> bytes:
        return self._derive("session")

    @cached_property
    def paper(self) -> bytes:
        return self._derive("code on paper")

    @cached_property
    def link(self) -> bytes:
        return self._derive("link")


def _associated(table: str, column: str, row_id: int) -> bytes:
    return f"{table}.{column}:{row_id}".encode()


class Keyring:
    """The current secret and earlier ones.

    A closed value: version (1 byte) | key id (1 byte) | nonce (12 bytes) | AES-256-GCM
    ciphertext and tag.
    """

    def __init__(self, secret: str, old_secrets: Sequence[str] = ()) -> None:
        self._current = _Keys(secret)
        self._by_id = {keys.key_id: keys for keys in map(_Keys, reversed(old_secrets))}
        self._by_id[self._current.key_id] = self._current

    @property
    def key_id(self) -> int:
        """Id (0 to 255) of the current secret."""
        return self._current.key_id

    def address_hash(self, channel: str, address: str) -> bytes:
        """Keyed hash (32 bytes) of a normalised address under the current secret."""
        return self._hash(self._current, channel, address)

    def address_hashes(self, channel: str, address: str) -> list[bytes]:
        """Hashes of an address under every configured secret, for finding older rows."""
        return [self._hash(keys, channel, address) for keys in self._by_id.values()]

    @staticmethod
    def _hash(keys: _Keys, channel: str, address: str) -> bytes:
        return hmac.digest(keys.address_hash, f"{channel}:{address}".encode(), "sha256")

    def seal(self, value: bytes, table: str, column: str, row_id: int) -> bytes:
        """Encrypt for one table, column and row; it opens nowhere else."""
        nonce = os.urandom(_NONCE)
        sealed = self._current.aead.encrypt(nonce, value, _associated(table, column, row_id))
        return bytes((_VERSION, self.key_id)) + nonce + sealed

    def unseal(self, sealed: bytes, table: str, column: str, row_id: int) -> bytes:
        """Open what `seal` closed; raises UndecipherableError."""
        keys = self._by_id.get(sealed[1]) if len(sealed) > 2 and sealed[0] == _VERSION else None
        if keys is None:
            raise UndecipherableError(f"{table}.{column} of {row_id}: no secret for this value")
        nonce, body = sealed[2 : 2 + _NONCE], sealed[2 + _NONCE :]
        try:
            return keys.aead.decrypt(nonce, body, _associated(table, column, row_id))
        except InvalidTag as error:
            raise UndecipherableError(f"{table}.{column} of {row_id}: does not open") from error

    def session_hash(self, token: str) -> bytes:
        """Hash under which a session or citizen token is stored."""
        return hmac.digest(self._current.session, token.encode(), hashlib.sha256)

    def code_hashes(self, code: str) -> list[bytes]:
        """Keyed hashes (32 bytes) of a code on paper, the current secret's first."""
        keys = [self._current, *(one for one in self._by_id.values() if one is not self._current)]
        return [hmac.digest(one.paper, code.encode(), hashlib.sha256) for one in keys]

    def sign_link(self, purpose: str, value: str) -> str:
        """`value` with a short signature (80 bits), URL- and mail-safe: letters, digits, hyphen."""
        return f"{value}-{self._signature(self._current, purpose, value)}"

    def read_link(self, purpose: str, signed: str) -> str | None:
        """Return the value of a signed link, None when the signature is not ours.

        Mail systems may change the case of a local part, so case is not told apart.
        """
        value, _, signature = signed.rpartition("-")
        for keys in self._by_id.values():
            expected = self._signature(keys, purpose, value)
            if hmac.compare_digest(expected.encode(), signature.lower().encode()):
                return value
        return None

    @staticmethod
    def _signature(keys: _Keys, purpose: str, value: str) -> str:
        digest = hmac.digest(keys.link, f"{purpose}:{value.lower()}".encode(), hashlib.sha256)
        return base64.b32encode(digest[:10]).decode().lower()
