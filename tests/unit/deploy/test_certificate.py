"""The certificate of the public edge."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from services.deploy.certificate import CertificateFault, ensure, subject_names


def test_a_self_made_certificate_serves_the_services_hosts_and_is_made_once(tmp_path: Path) -> None:
    certificate, key = ensure(tmp_path / "tls", "box.lan", None)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    told = ssl._ssl._test_decode_cert(str(certificate))  # type: ignore[attr-defined]
    assert told["subjectAltName"] == (("DNS", "box.lan"), ("DNS", "*.box.lan"))
    assert key.stat().st_mode & 0o777 == 0o600
    before = certificate.read_bytes()
    assert ensure(tmp_path / "tls", "box.lan", None) == (certificate, key)
    assert certificate.read_bytes() == before


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, _ = ensure(tmp_path / "a", "a.lan", None)
    _, key = ensure(tmp_path / "b", "b.lan", None)
    with pytest.raises(CertificateFault, match="is not the key of"):
        ensure(tmp_path, "a.lan", (certificate, key))


def test_an_address_stands_in_a_certificate_as_an_address() -> None:
    assert subject_names("192.0.2.7") == "IP:192.0.2.7"
