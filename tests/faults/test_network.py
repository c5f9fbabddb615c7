"""A network that fails: some requests, others each day; name look-ups, certificates and proxies."""

from __future__ import annotations

import os
import random
import shutil
import socket
import ssl
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.faults.network import Broken, FaultyServer, Network, serve_faulty
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

SEED = int(os.environ.get("SECUREPIP_SEED", date.today().toordinal()))


@pytest.fixture
def faulty(shared_repository: MadeRepository) -> Iterator[FaultyServer]:
    """A machine, and the shared repository on a server with faults."""
    with serve_faulty(shared_repository.folder) as server:
        yield server


def in_words(done: Finished, *words: str) -> None:
    """Check that a command has failed, with these words and without a traceback."""
    assert done.code == 1, done
    assert "ERROR" in done.err
    assert "Traceback" not in done.err
    for each in words:
        assert each in done.err, done.err


def test_a_request_that_fails_is_tried_again_or_told_and_leaves_nothing_half(
    machine: Machine, shared_repository: MadeRepository, faulty: FaultyServer, tmp_path: Path
) -> None:
    network = Network(tmp_path / "turns", machine, shared_repository, faulty)
    print("SECUREPIP_SEED", SEED, "python -m tests.faults.network")
    chosen = random.Random(SEED).sample(network.faults(), 10)
    assert [each for broken in chosen for each in network.wrong(broken)] == []


@pytest.mark.parametrize("how", ["502", "cut"])
def test_a_storm_is_outlived_where_it_ends_and_told_where_it_does_not(
    machine: Machine,
    shared_repository: MadeRepository,
    faulty: FaultyServer,
    tmp_path: Path,
    how: str,
) -> None:
    """Every request fails, once or always: the server is overloaded, or the connection breaks."""
    network = Network(tmp_path / "turns", machine, shared_repository, faulty)
    assert network.wrong(Broken("*", how, once=True)) == []
    assert network.wrong(Broken("*", how, once=False)) == []


def test_what_is_not_tried_again_is_found(
    machine: Machine, shared_repository: MadeRepository, faulty: FaultyServer, tmp_path: Path
) -> None:
    """The faults do occur: a client that repeats no request fails."""
    network = Network(tmp_path / "turns", machine, shared_repository, faulty, retries=0)
    busy = Broken("packages/lib/lib-1.0-py3-none-any.whl", "503", once=True)
    assert busy.path in network.paths
    (wrong,) = network.wrong(busy)
    assert "it was not tried again" in wrong


def test_a_name_that_cannot_be_looked_up_for_a_moment_is_looked_up_again_and_else_named(
    machine: Machine,
    shared_repository: MadeRepository,
    faulty: FaultyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine.trust(shared_repository, faulty.url.replace("127.0.0.1", "localhost"))
    look_up, failures = socket.getaddrinfo, [1]

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", sometimes)
    done = machine.install("--dry-run", "app", PIP_RETRIES="1")
    assert done.code == 0, done.err
    failures[0] = 1 << 30
    in_words(machine.install("--dry-run", "app", PIP_RETRIES="1"), "localhost")
    failures[0] = 0
    assert machine.install("--dry-run", "app").code == 0


def certificate(folder: Path, days: int) -> tuple[Path, Path]:
    """Make a certificate for localhost that expires in so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / f"{days}.pem", folder / f"{days}.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, private


def test_a_certificate_that_has_expired_is_told_as_that(
    machine: Machine, shared_repository: MadeRepository, tmp_path: Path
) -> None:
    for days, outcome in ((30, 0), (-1, 1)):
        cert, private = certificate(tmp_path, days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, private)
        with serve_faulty(shared_repository.folder, context) as server:
            url = server.url.replace("127.0.0.1", "localhost")
            words = ("--root-sha256", shared_repository.root_sha256, "--cert", cert)
            # The command line comes before an environment variable.
            bundle = {"REQUESTS_CA_BUNDLE": certifi.where()}
            done = machine.run("trust", "add", f"made{days + 1}", url, *words, **bundle)
        assert done.code == outcome, done
    in_words(done, "localhost", "expired")


@pytest.mark.parametrize("lie", ["other", "older", "407", "reset"])
def test_a_proxy_that_lies_changes_nothing(
    machine: Machine, made: MadeRepository, tmp_path: Path, lie: str
) -> None:
    shutil.copytree(made.folder, tmp_path / "older")
    made.add(make_wheel(tmp_path, "app", "3.0"))
    location = "http://packages.example.org/"
    with serve_faulty(made.folder) as proxy:
        through = {"http_proxy": proxy.url, "no_proxy": ""}
        words = ("--root-sha256", made.root_sha256)
        assert machine.run("trust", "add", "made", location, *words, **through).code == 0
        done = machine.run("download", "-d", tmp_path / "files", "lib", **through)
        assert done.code == 0, done.err
        if lie == "older":
            proxy.folder = tmp_path / "older"
        else:
            proxy.broken = Broken("*", lie, once=False)
        lied_to = machine.install("app", **through)
        assert lied_to.code == (3 if lie in ("other", "older") else 1), lied_to
        assert "ERROR" in lied_to.err
        assert "Traceback" not in lied_to.err
        assert machine.version_of("app") is None
        proxy.folder, proxy.broken = made.folder, None
        assert machine.install("--dry-run", "app", **through).code == 0
