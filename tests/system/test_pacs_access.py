"""Who may send to a PACS: passwords, tokens, certificates, addresses."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from commands import medsyn
from orthanc import USER, Proxy
from pacs_sets import make_set, one_line, workspace

from medsyn.errors import EnvironmentFault, UsageError
from medsyn.pacs import sending

__all__ = ["workspace"]


pytestmark = pytest.mark.system


def test_a_wrong_password(workspace, orthanc):
    make_set(workspace)
    given = {"MEDSYN_PACS_USER": USER, "MEDSYN_PACS_PASSWORD": "CANARY-wrong", "NETRC": os.devnull}
    done = medsyn("send", "--to", orthanc.url, "--workspace", workspace.path, cwd=workspace.path, **given)
    one_line(done, 5, "401", orthanc.url, "MEDSYN_PACS_USER", "MEDSYN_PACS_PASSWORD", "MEDSYN_PACS_TOKEN", "netrc")
    assert "CANARY" not in done.stdout + done.stderr
    assert orthanc.count() == 0


@pytest.mark.parametrize("root", ["", "/nowhere", "/dicom-web/studies"])
def test_not_the_root_of_a_service(workspace, orthanc, allowed, root):
    path = make_set(workspace)
    with pytest.raises(UsageError, match="root of a DICOMweb service"):
        sending.send(path, orthanc.url.removesuffix("/dicom-web") + root)
    assert orthanc.count() == 0


@pytest.mark.parametrize("command", [("send", "--to"), ("ingest",)])
def test_secrets_in_an_address_come_out_nowhere(workspace, command):
    make_set(workspace, 1)
    done = medsyn(*command, f"https://{USER}:CANARY@pacs", "--workspace", workspace.path, cwd=workspace.path)
    one_line(done, 2, "MEDSYN_PACS_PASSWORD")
    assert "CANARY" not in done.stdout + done.stderr
    assert "CANARY" not in (workspace.logs / "medsyn.log").read_text()


def test_credentials_of_netrc_and_a_token(workspace, orthanc, proxy, tmp_path, monkeypatch):
    path = make_set(workspace, 2)
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1\nlogin {USER}\npassword plain\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(EnvironmentFault, match="401"):
        sending.send(path, proxy.url)
    assert proxy.requests[-1].headers["Authorization"].startswith("Basic ")
    monkeypatch.setenv("MEDSYN_PACS_TOKEN", "abc.def")
    with pytest.raises(EnvironmentFault, match="401"):
        sending.send(path, proxy.url)
    assert proxy.requests[-1].headers["Authorization"] == "Bearer abc.def"
    monkeypatch.setenv("MEDSYN_PACS_USER", USER)
    with pytest.raises(UsageError, match="MEDSYN_PACS_TOKEN"):
        sending.send(path, proxy.url)
    monkeypatch.delenv("MEDSYN_PACS_TOKEN")
    with pytest.raises(UsageError, match="MEDSYN_PACS_PASSWORD is not set"):
        sending.send(path, proxy.url)


def certificate(file: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1: with its key for the server, without for its clients."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pacs")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made)
    public = file.with_suffix(".crt")
    public.write_bytes(made)
    return file, public


def test_certificates_are_checked(workspace, orthanc, tmp_path, allowed, waits, monkeypatch):
    path = make_set(workspace, 3)
    both, public = certificate(tmp_path / "server.pem")
    secured = Proxy(orthanc, both)
    with pytest.raises(EnvironmentFault, match=r"certificate is not trusted.*REQUESTS_CA_BUNDLE"):
        sending.send(path, secured.url)
    assert not waits  # trying again would not help
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(public))
    assert sending.send(path, secured.url).sent == 3
    secured.close()
