"""What a token is: `mt_<id>_<secret>`; only the SHA-256 of the secret is kept."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

SECRET_BYTES = 32
"""256 bits of the system's randomness: cannot be guessed, so a plain fast hash is enough."""
FORM = re.compile(r"mt_([0-9]{1,9})_([A-Za-z0-9_-]{20,100})")


@dataclass(frozen=True)
class Key:
    """What a client shows.

    Attributes:
        token_id: names the row.
        secret: proves that it may.
    """

    token_id: int
    secret: str

    @property
    def digest(self) -> str:
        """What is kept of the secret."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def fits(self, digest: str) -> bool:
        """Whether the secret is the one of this digest; takes the same time for any answer."""
        return hmac.compare_digest(self.digest, digest)

    def __str__(self) -> str:
        """Give the whole token."""
        return f"mt_{self.token_id}_{self.secret}"


def new_secret() -> str:
    """Make a secret."""
    return secrets.token_urlsafe(SECRET_BYTES)


def read_key(token: str) -> Key | None:
    """Take a token apart; None where it is none."""
    found = FORM.fullmatch(token)
    return Key(int(found[1]), found[2]) if found else None
