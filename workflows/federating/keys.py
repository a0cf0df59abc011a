"""Keys and certificates of hospitals that learn together: who may join, and who the server is."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a site."""
MAKE = "make one with: ssh-keygen -t ecdsa -b 384 -N '' -f {name}"


def read_public_keys(folder: str) -> dict[str, bytes]:
    """Read who may join: `<site>.pub` of each, as ssh-keygen writes it; gives PEM by site.

    Raises:
        UsageError: there is none, or one is no key of an elliptic curve.
    """
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    place = Path(folder).expanduser()
    files = sorted(place.glob("*.pub"))
    if not files:
        raise UsageError(
            f"--keys {folder} holds no public keys SITE.pub; " + MAKE.format(name="SITE")
        )
    found = {}
    for file in files:
        if not NAME.fullmatch(file.stem):
            raise UsageError(f"--keys {file}: {file.stem!r} cannot be the name of a site")
        try:
            key = load_ssh_public_key(file.read_bytes())
        except (OSError, ValueError) as err:
            raise UsageError(f"--keys {file} is no public key: {err}") from err
        found[file.stem] = public_key_to_bytes(_curve(key, file))
    twice = len(set(found.values())) < len(found)
    if twice:
        raise UsageError(f"--keys {folder}: two sites have the same key")
    return found


def read_private_key(
    file: str,
) -> "tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey]":
    """Read the key of a site, as ssh-keygen writes it; gives it with its public half.

    Raises:
        UsageError: there is no such file, or it is no key of an elliptic curve.
    """
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    path = Path(file).expanduser()
    try:
        key: Any = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as err:
        hint = MAKE.format(name=path.name)
        raise UsageError(f"--key {file} cannot be read: {err}; {hint}") from err
    _curve(key.public_key(), path)
    return key, key.public_key()


def require_file(option: str, file: str) -> str:
    """Refuse a missing file; gives its absolute path.

    Raises:
        UsageError: it is not there.
    """
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"{option} {file}: no such file")
    return str(path)


def _curve(key: Any, path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UsageError(f"{path} is no key of an elliptic curve; " + MAKE.format(name=path.stem))
    return key
