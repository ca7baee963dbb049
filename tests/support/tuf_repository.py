"""Makes a TUF repository with the reference implementation (hack/install tuf).

Arguments: the folder to write to, the folder of the keys, and JSON with
  target   file that becomes the target trusted_root.json
  services file that becomes the target signing_config.v0.2.json, if there is one
  version  of timestamp, snapshot and targets
  days     until the timestamp ends; less than nothing for one that has ended
  rotate   whether a second root replaces the key of the first
  rogue    whether the timestamp is signed by a key that the root does not know
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp,
)

out, keys, wish = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
version, now = wish["version"], datetime.now(timezone.utc).replace(microsecond=0)


def signer(name):
    """The signer of this name: the same one each time."""
    file = keys / f"{name}.pem"
    if not file.exists():
        key = generate_private_key(SECP256R1())
        file.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    return CryptoSigner(s.load_pem_private_key(file.read_bytes(), None))


def write(metadata, name, *signers):
    for number, one in enumerate(signers):
        metadata.sign(one, append=number > 0)
    metadata.to_file(str(out / name))


(out / "targets").mkdir(parents=True, exist_ok=True)
keys.mkdir(parents=True, exist_ok=True)
roles = {role: signer(role) for role in ("timestamp", "snapshot", "targets")}
first, second = signer("root"), signer("root2")


def root(number, key):
    content = Root(version=number, expires=now + timedelta(days=365), consistent_snapshot=True)
    content.add_key(key.public_key, "root")
    for role, one in roles.items():
        content.add_key(one.public_key, role)
    return Metadata(content)


write(root(1, first), "1.root.json", first)
write(root(1, first), "root.json", first)
if wish.get("rotate"):
    write(root(2, second), "2.root.json", second, first)


def target(name, file):
    content = Path(file).read_bytes()
    listed = TargetFile.from_data(name, content)
    (out / "targets" / f"{listed.hashes['sha256']}.{name}").write_bytes(content)
    return {name: listed}


listed = target("trusted_root.json", wish["target"])
if wish.get("services"):
    listed |= target("signing_config.v0.2.json", wish["services"])
targets = Targets(version=version, expires=now + timedelta(days=30), targets=listed)
write(Metadata(targets), f"{version}.targets.json", roles["targets"])
snapshot = Snapshot(version=version, expires=now + timedelta(days=30), meta={"targets.json": MetaFile(version)})
write(Metadata(snapshot), f"{version}.snapshot.json", roles["snapshot"])
timestamp = Timestamp(version=version, expires=now + timedelta(days=wish.get("days", 7)), snapshot_meta=MetaFile(version))
write(Metadata(timestamp), "timestamp.json", signer("rogue") if wish.get("rogue") else roles["timestamp"])
