"""The certificate of the public edge in `prod`: the user's own, or one made here, which browsers do not know."""

from __future__ import annotations

import ipaddress
import subprocess
from pathlib import Path

_DAYS = 825
"""Longer ones are refused by some clients."""
_RENEW = 30 * 86400


class CertificateFault(Exception):
    pass


def ensure(folder: Path, domain: str, given: tuple[Path, Path] | None) -> tuple[Path, Path]:
    """Certificate chain and key to serve with, readable by the owner alone. `given` is used as it is. A self-made one
    is for DOMAIN and *.DOMAIN, made once and again a month before it ends. Raises CertificateFault."""
    if given is not None:
        _check_pair(*given)
        return given
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key = folder / f"{domain}.crt", folder / f"{domain}.key"
    if not (certificate.exists() and key.exists()) or _ends_within(certificate, _RENEW):
        _make(certificate, key, domain)
    return certificate, key


def subject_names(domain: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(domain)}"
    except ValueError:
        return f"DNS:{domain},DNS:*.{domain}"


def _make(certificate: Path, key: Path, domain: str) -> None:
    partial = key.with_suffix(".partial")
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
        *("-days", str(_DAYS), "-subj", f"/CN={domain}", "-addext", f"subjectAltName={subject_names(domain)}"),
        *("-keyout", str(partial), "-out", str(certificate)),
    )
    partial.chmod(0o600)
    partial.rename(key)


def _check_pair(certificate: Path, key: Path) -> None:
    public = [
        _openssl("x509", "-in", str(certificate), "-noout", "-pubkey"),
        _openssl("pkey", "-in", str(key), "-pubout", "-passin", "pass:"),
    ]
    if public[0] != public[1]:
        raise CertificateFault(f"{key} is not the key of {certificate}")
    if _ends_within(certificate, 0):
        raise CertificateFault(f"{certificate} has expired")


def _ends_within(certificate: Path, seconds: int) -> bool:
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-checkend", str(seconds)]
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def _openssl(*words: str) -> str:
    try:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CertificateFault("openssl is not installed; install it, or give --tls-cert and --tls-key") from None
    if done.returncode:
        raise CertificateFault(f"openssl {words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout
