"""Sealing: AES-GCM under a master key, bound to the row and the address it is for."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from server.domain.errors import MasterKeyError
from server.store.master_keys import MasterKey

_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Place:
    """What a key is for: a connection's row, and where the key is sent."""

    id: str
    provider: str
    base_url: str | None


def seal(secret: SecretStr, key: MasterKey, place: Place) -> str:
    """Return `secret` encrypted: nonce, ciphertext and tag in base64.

    It opens for the same `place` alone: nobody who can write to the database, but has no master
    key, can have a key sent to another address.
    """
    nonce = os.urandom(_NONCE_BYTES)
    data = secret.get_secret_value().encode()
    return base64.b64encode(
        nonce + AESGCM(key.secret).encrypt(nonce, data, _bound_to(place))
    ).decode()


def unseal(sealed: str, key: MasterKey, place: Place) -> SecretStr:
    """Return what was sealed.

    Raises:
        MasterKeyError: it was changed, or belongs to another row.
    """
    try:
        data = base64.b64decode(sealed, validate=True)
        nonce, encrypted = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
        opened = AESGCM(key.secret).decrypt(nonce, encrypted, _bound_to(place))
        return SecretStr(opened.decode())
    except (InvalidTag, ValueError) as error:
        raise MasterKeyError(
            f"the key of connection '{place.id}' was changed in the database; give the key again"
        ) from error


def _bound_to(place: Place) -> bytes:
    return json.dumps(["connection", place.id, place.provider, place.base_url]).encode()
