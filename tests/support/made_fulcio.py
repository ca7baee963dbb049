"""A Fulcio whose certificates have the faults that no real one makes. It shares no code with what is tested: Python's
cryptography makes and signs everything.

Arguments: "http", or "https" for TLS by an authority of its own (tls.pem); a folder, which gets root.pem (its authority), other.pem (one that it is none of) and ctfe.pub (the key of a
certificate log). Prints its port, and ends when its standard input does. POST /_fault takes the fault by name:

  none       what a Fulcio should answer, with the word of the certificate log
  hours      the certificate begins in two hours: the clock of Fulcio, or ours, is wrong
  key        the certificate is for another key than the one that was sent
  chain      another authority has signed it, whatever stands above it
  stranger   it comes with its whole chain from another authority
  sct        the word of the log is about another certificate
  strange    another log has given its word
  unlogged   there is no word at all

GET /_asked: how many certificates it was asked for. It believes every token.
"""

import hashlib
import http.server
import json
import ssl
import struct
import sys
import threading
from base64 import b64encode, urlsafe_b64decode
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization as s
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

FOLDER = Path(sys.argv[2])
FAULT, ASKED = ["none"], [0]
SCTS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
SPKI = (s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority(text):
    key, now = generate_private_key(SECP256R1()), datetime.now(timezone.utc)
    root = (x509.CertificateBuilder().subject_name(name(text)).issuer_name(name(text)).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .sign(key, hashes.SHA256()))
    return key, root


OURS, OTHER = authority("ours"), authority("ours")
LOG, STRANGE_LOG = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())


def der(tag, content):
    assert len(content) < 256
    return bytes([tag]) + (b"" if len(content) < 128 else b"\x81") + bytes([len(content)]) + content


def unlogged(key, claims, begins, signer):
    namespace, account = claims["sub"].split(":")[2:]
    uri = f"https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"
    return (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(signer.subject).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(begins)
            .not_valid_after(begins + timedelta(minutes=10))
            .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), True)
            .add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), claims["iss"].encode()), False)
            .add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), der(12, claims["iss"].encode())), False))


def word(log, tbs, issuer):
    """RFC 6962 §3.2, for a certificate before it had this word."""
    at = int(datetime.now(timezone.utc).timestamp() * 1000)
    issuer_key = hashlib.sha256(issuer.public_key().public_bytes(*SPKI)).digest()
    signed = b"\x00\x00" + struct.pack(">QH", at, 1) + issuer_key + len(tbs).to_bytes(3) + tbs + b"\x00\x00"
    signature = log.sign(signed, ECDSA(hashes.SHA256()))
    log_id = hashlib.sha256(log.public_key().public_bytes(*SPKI)).digest()
    sct = b"\x00" + log_id + struct.pack(">Q", at) + b"\x00\x00\x04\x03" + struct.pack(">H", len(signature)) + signature
    listed = struct.pack(">H", len(sct)) + sct
    return der(4, struct.pack(">H", len(listed)) + listed)


def certificate(request, fault):
    token = request["credentials"]["oidcIdentityToken"].split(".")[1]
    claims = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    key = s.load_pem_public_key(request["publicKeyRequest"]["publicKey"]["content"].encode())
    if fault == "key":
        key = generate_private_key(SECP256R1()).public_key()
    begins = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=2 if fault == "hours" else 0)
    signer, above = (OTHER if fault in ("chain", "stranger") else OURS), (OTHER if fault == "stranger" else OURS)
    builder = unlogged(key, claims, begins, signer[1])
    leaf = builder.sign(signer[0], hashes.SHA256())
    if fault != "unlogged":
        tbs = leaf.tbs_certificate_bytes
        if fault == "sct":
            tbs = tbs[:-1] + bytes([tbs[-1] ^ 1])
        said = word(STRANGE_LOG if fault == "strange" else LOG, tbs, signer[1])
        leaf = builder.add_extension(x509.UnrecognizedExtension(SCTS, said), False).sign(signer[0], hashes.SHA256())
    return [one.public_bytes(s.Encoding.PEM).decode() for one in (leaf, above[1])]


class Fulcio(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/_fault":
            FAULT[0] = body.decode()
            return self.answer(200, "")
        if self.path != "/api/v2/signingCert":
            return self.answer(404, "no such page")
        ASKED[0] += 1
        chain = certificate(json.loads(body), FAULT[0])
        self.answer(200, json.dumps({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}))

    def do_GET(self):
        if self.path == "/_asked":
            return self.answer(200, str(ASKED[0]))
        if self.path != "/api/v2/trustBundle":
            return self.answer(404, "no such page")
        root = OURS[1].public_bytes(s.Encoding.PEM).decode()
        self.answer(200, json.dumps({"chains": [{"certificates": [root]}]}))

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serving():
    """TLS for localhost."""
    (above, issuer), key = authority("tls"), generate_private_key(SECP256R1())
    now = datetime.now(timezone.utc)
    own = (x509.CertificateBuilder().subject_name(name("localhost")).issuer_name(issuer.subject)
           .public_key(key.public_key()).serial_number(x509.random_serial_number())
           .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
           .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
           .sign(above, hashes.SHA256()))
    (FOLDER / "tls.pem").write_bytes(issuer.public_bytes(s.Encoding.PEM))
    (FOLDER / "own.pem").write_bytes(own.public_bytes(s.Encoding.PEM))
    (FOLDER / "own.key").write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "own.pem", FOLDER / "own.key")
    return context


for file, content in (("root.pem", OURS[1].public_bytes(s.Encoding.PEM)),
                      ("other.pem", OTHER[1].public_bytes(s.Encoding.PEM)),
                      ("ctfe.pub", LOG.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))):
    (FOLDER / file).write_bytes(content)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fulcio)
if sys.argv[1] == "https":
    server.socket = serving().wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
