"""Key management services on loopback, with real keys: each request is judged as its vendor would judge it, by code that
shares nothing with what is tested, and signatures are made by the library `cryptography`.

`services(server)` gives the services for the handlers of server.py. Keys, by the name that all three know them by:

  p256 p384 p521 rsa   sign
  named                signs, but its rights end at its public half
  hidden               may not even be read
  disabled             is switched off; encrypt is for encryption; odd is of a kind that cosign does not verify
"""

import base64, json, re, urllib.parse as up

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

KEYS = {"p256": ec.generate_private_key(ec.SECP256R1()), "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()), "rsa": rsa.generate_private_key(65537, 2048),
        "named": ec.generate_private_key(ec.SECP256R1()), "hidden": ec.generate_private_key(ec.SECP256R1()),
        "disabled": ec.generate_private_key(ec.SECP256R1()), "encrypt": rsa.generate_private_key(65537, 2048),
        "odd": ed25519.Ed25519PrivateKey.generate()}
HASHES = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
ACCOUNT = "arn:aws:kms:us-east-1:111122223333"
RING = "projects/p/locations/global/keyRings/r/cryptoKeys"


def public(key, encoding):
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign(key, name, digest):
    """A signature over a digest by this hash; nothing where the length does not fit."""
    algorithm = HASHES[name]()
    if len(digest) != algorithm.digest_size:
        return None
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(digest, padding.PKCS1v15(), Prehashed(algorithm))
    return key.sign(digest, ec.ECDSA(Prehashed(algorithm)))


def of_curve(name):
    """The hash that the services tie to a curve."""
    return {"p384": "sha384", "p521": "sha512"}.get(name, "sha256")


def services(server):
    refused, aws_json = server.Refused, server.aws_json

    # --- AWS

    def aws(request):
        key, region = server.signed_by(request, "kms", aws_json)
        content, action = json.loads(request.body), request.headers.get("x-amz-target", "").removeprefix("TrentService.")
        if request.headers.get("content-type") != "application/x-amz-json-1.1" or region != "us-east-1":
            raise aws_json(400, "SerializationException", "content type or region")
        wanted = content["KeyId"]
        found = re.fullmatch(rf"(?:(?:{ACCOUNT}:)?(?:alias/|key/)?)(\w+)", wanted)
        name = found and found[1]
        if name not in KEYS:
            raise aws_json(400, "NotFoundException", f"Alias {wanted} is not found.")
        arn = f"{ACCOUNT}:key/{name}"
        right = "kms:Sign" if action == "Sign" else "kms:GetPublicKey"
        if name == "hidden" or (name == "named" and action == "Sign"):
            raise aws_json(400, "AccessDeniedException", f"User: agent is not authorized to perform: {right} on resource: {arn}")
        if name == "disabled":
            raise aws_json(400, "DisabledException", f"{arn} is disabled.")
        if name == "encrypt":
            raise aws_json(400, "UnsupportedOperationException", "")
        kind = of_curve(name).removeprefix("sha")
        algorithms = {"rsa": ["RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_512", "RSASSA_PSS_SHA_256"],
                      "odd": ["ED25519_SHA_512", "ED25519_PH_SHA_512"]}.get(name, [f"ECDSA_SHA_{kind}"])
        if action == "GetPublicKey":
            if set(content) != {"KeyId"}:
                raise aws_json(400, "ValidationException", "fields")
            request.note(operation="read", key=name, by=key)
            answer = {"KeyId": arn, "KeyUsage": "SIGN_VERIFY", "KeySpec": name, "SigningAlgorithms": algorithms,
                      "PublicKey": base64.b64encode(public(KEYS[name], serialization.Encoding.DER)).decode()}
            return json.dumps(answer), "application/x-amz-json-1.1"
        if action != "Sign" or set(content) != {"KeyId", "Message", "MessageType", "SigningAlgorithm"}:
            raise aws_json(400, "ValidationException", "action or fields")
        if content["MessageType"] != "DIGEST" or content["SigningAlgorithm"] not in algorithms:
            raise aws_json(400, "InvalidKeyUsageException", "Algorithm is incompatible with key spec.")
        digest = base64.b64decode(content["Message"], validate=True)
        made = sign(KEYS[name], f"sha{content['SigningAlgorithm'].rsplit('_', 1)[1]}", digest)
        if made is None:
            raise aws_json(400, "ValidationException", "Digest is invalid length for algorithm.")
        request.note(operation="sign", key=name, by=key)
        answer = {"KeyId": arn, "Signature": base64.b64encode(made).decode(), "SigningAlgorithm": content["SigningAlgorithm"]}
        return json.dumps(answer), "application/x-amz-json-1.1"

    # --- Google

    def google_error(code, status, message):
        return refused(code, json.dumps({"error": {"code": code, "status": status, "message": message}}))

    def google(request):
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if ("oauth2accesstoken", token) not in server.PASSWORDS:
            raise google_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        found = re.fullmatch(rf"/v1/({RING}/(\w+))/cryptoKeyVersions(?:/(\d+)(/publicKey|:asymmetricSign))?", request.path)
        name, version = (found[2], found[3]) if found else (None, None)
        if name not in KEYS or version not in (None, "1", "2", "10"):
            raise google_error(404, "NOT_FOUND", f"CryptoKey {request.path} not found.")
        if name == "hidden" or (name == "named" and found[4] == ":asymmetricSign"):
            right = {None: "list", "/publicKey": "viewPublicKey"}.get(found[4], "useToSign")
            raise google_error(403, "PERMISSION_DENIED", f"Permission 'cloudkms.cryptoKeyVersions.{right}' denied on resource '{found[1]}' (or it may not exist).")
        full = f"{found[1]}/cryptoKeyVersions/{version}"
        if version is None:
            query = dict(up.parse_qsl(up.urlsplit(request.target).query))
            if query.get("filter") != "state=ENABLED":
                raise google_error(400, "INVALID_ARGUMENT", "filter")
            # In two pages, sorted as text; version 11 is not enabled.
            numbers, next_page = ([], "") if name == "disabled" else (["9", "1"], "") if query.get("pageToken") == "second" else (["2", "10"], "second")
            numbers = [n for n in numbers if n != "9"]
            listed = [{"name": f"{found[1]}/cryptoKeyVersions/{n}"} for n in numbers]
            return json.dumps({"cryptoKeyVersions": listed, "nextPageToken": next_page}), "application/json"
        algorithm = {"rsa": "RSA_SIGN_PKCS1_2048_SHA256", "p384": "EC_SIGN_P384_SHA384", "odd": "EC_SIGN_ED25519",
                     "encrypt": "RSA_DECRYPT_OAEP_2048_SHA256"}.get(name, "EC_SIGN_P256_SHA256")
        if found[4] == "/publicKey":
            request.note(operation="read", key=name, version=version)
            pem = public(KEYS[name], serialization.Encoding.PEM).decode()
            return json.dumps({"name": full, "pem": pem, "algorithm": algorithm, "protectionLevel": "SOFTWARE"}), "application/json"
        if name == "disabled":
            raise google_error(400, "FAILED_PRECONDITION", f"{full} is not enabled, current state is: DISABLED.")
        content = json.loads(request.body)
        wanted = algorithm.rsplit("_", 1)[1].lower()
        if set(content) != {"digest"} or set(content["digest"]) != {wanted}:
            raise google_error(400, "INVALID_ARGUMENT", f"The digest must be {wanted}.")
        made = sign(KEYS[name], wanted, base64.b64decode(content["digest"][wanted], validate=True))
        if made is None:
            raise google_error(400, "INVALID_ARGUMENT", "length")
        request.note(operation="sign", key=name, version=version)
        return json.dumps({"name": full, "signature": base64.b64encode(made).decode()}), "application/json"

    # --- Azure

    def azure_error(status, code, message, within=None):
        error = {"code": code, "message": message}
        return refused(status, json.dumps({"error": dict(error, innererror={"code": within}) if within else error}))

    def number(value, length):
        return base64.urlsafe_b64encode(value.to_bytes(length, "big")).decode().rstrip("=")

    def azure(request):
        host = request.headers["host"]
        try:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            jwt.decode(token, server.SERVICE_KEY.public_key(), algorithms=["RS256"], audience="https://vault.azure.net")
        except jwt.PyJWTError:
            raise azure_error(401, "Unauthorized", "AKV10022: Invalid audience or signature.")
        query = dict(up.parse_qsl(up.urlsplit(request.target).query))
        found = re.fullmatch(r"/keys/(\w+)/(\w*)(/sign)?", request.path)
        if query.get("api-version") != "7.4" or host != "team.vault.azure.net" or not found:
            raise azure_error(400, "BadParameter", "version of the API, host or path")
        name, version, signs = found.groups()
        if name not in KEYS or version not in ("", "0f"):
            raise azure_error(404, "KeyNotFound", f"A key with (name/id) {name}/{version} was not found in this key vault.")
        if name == "hidden" or (name == "named" and signs):
            raise azure_error(403, "Forbidden", "Caller is not authorized to perform action on resource.", "ForbiddenByRbac")
        if name == "disabled" and signs:
            raise azure_error(403, "Forbidden", "Operation sign is not allowed on a disabled key.", "KeyDisabled")
        if name == "encrypt" and signs:
            raise azure_error(403, "Forbidden", "Operation sign is not permitted on this key.", "KeyOperationForbidden")
        key, kid = KEYS[name], f"https://{host}/keys/{name}/0f"
        if not signs:
            request.note(operation="read", key=name)
            public_key = key.public_key()
            if isinstance(key, ed25519.Ed25519PrivateKey):
                web = {"kty": "oct"}
            elif isinstance(key, rsa.RSAPrivateKey):
                numbers = public_key.public_numbers()
                web = {"kty": "RSA", "n": number(numbers.n, 256), "e": "AQAB"}
            else:
                numbers, length = public_key.public_numbers(), (public_key.curve.key_size + 7) // 8
                web = {"kty": "EC-HSM", "crv": f"P-{public_key.curve.key_size}", "x": number(numbers.x, length), "y": number(numbers.y, length)}
            return json.dumps({"key": dict(web, kid=kid, key_ops=["sign", "verify"]), "attributes": {"enabled": True}}), "application/json"
        content, kind = json.loads(request.body), of_curve(name).removeprefix("sha")
        expected = f"RS{kind}" if isinstance(key, rsa.RSAPrivateKey) else f"ES{kind}"
        if set(content) != {"alg", "value"} or content["alg"] != expected:
            raise azure_error(400, "BadParameter", "Key and signing algorithm are incompatible.")
        value = content["value"]
        made = sign(key, of_curve(name), base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        if made is None:
            raise azure_error(400, "BadParameter", "Invalid length of 'value'.")
        if not isinstance(key, rsa.RSAPrivateKey):
            length = (key.curve.key_size + 7) // 8
            made = b"".join(part.to_bytes(length, "big") for part in decode_dss_signature(made))
        request.note(operation="sign", key=name)
        return json.dumps({"kid": kid, "value": base64.urlsafe_b64encode(made).decode().rstrip("=")}), "application/json"

    return [("aws-kms", r"/", aws), ("google-kms", rf"/v1/{RING}/.*", google), ("azure-kms", r"/keys/.*", azure)]
