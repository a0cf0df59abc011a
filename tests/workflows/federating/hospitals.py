"""Hospitals on this machine: certificates, keys, and the real commands as processes."""

import datetime
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def make_certificate(folder: Path) -> None:
    """A certificate of 127.0.0.1 that signs itself: cert.pem and key.pem."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def make_key(folder: Path, site: str) -> Path:
    """A key of a site, as ssh-keygen makes it; the public half goes to public/."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    (folder / "public").mkdir(parents=True, exist_ok=True)
    path = folder / site
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    (folder / "public" / f"{site}.pub").write_bytes(public)
    return path


class Hospitals:
    """A server and its clients, as processes of the real command.

    Args:
        folder: of keys, logs and runs.
        sites: who may join.
    """

    def __init__(self, folder: Path, sites: Sequence[str]) -> None:
        self.folder, self.port = folder, free_port()
        self._running: list[subprocess.Popen[bytes]] = []
        make_certificate(folder / "tls")
        self.keys = {site: make_key(folder / "keys", site) for site in sites}

    def server(self, *words: Any) -> subprocess.Popen[bytes]:
        """Start the server, whose run is in `server`."""
        tls = self.folder / "tls"
        files = ("--certificate", tls / "cert.pem", "--certificate-key", tls / "key.pem")
        place = ("--out", self.folder / "server", "--port", self.port, *files)
        known = ("--authority", tls / "cert.pem", "--keys", self.folder / "keys" / "public")
        return self._start("server", "federate", "server", *place, *known, *words)

    def client(self, site: str, archive: Path, *words: Any) -> subprocess.Popen[bytes]:
        """Start a client, whose folder has its name."""
        who = ("--site", site, "--key", self.keys[site], "--server", f"{HOST}:{self.port}")
        place = ("--out", self.folder / site, "--authority", self.folder / "tls" / "cert.pem")
        return self._start(site, "federate", "client", archive, *who, *place, *words)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _start(self, name: str, *words: Any) -> subprocess.Popen[bytes]:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0"}
        with (self.folder / f"{name}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "workflows.cli", *map(str, words)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self._running.append(process)
        return process
