"""Clouds on loopback, which share no code with what is tested: botocore recomputes signatures, PyJWT checks tokens.

Prints one line of JSON with the addresses, and ends when its standard input does. Services:

  http     AWS (STS, ECR, containers, instance metadata), Google and Azure by path, and /_control, /_log
  proxy    CONNECT to any name, which leads to the TLS port: registries, the token exchange of ACR, and the key management
           services of kms.py

Control (POST /_control, merged): "ttl" seconds, "fail": {step: [status, body, {header: value}]}, "tamper": where one byte
of each request is changed before it is judged: "body", "header:NAME", "query"; "issuer": the key (JWK) of whoever issues
tokens of service accounts, else /_token does; "subjects": further accounts that are trusted; "expired": how many passwords
of registries turn out to have ended before their time.
"""

import base64, datetime, http.server, json, os, re, socket, ssl, sys, threading, time
import urllib.parse as up

import jwt
import kms
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

STATE = {"ttl": 3600, "fail": {}, "tamper": None}
LOG = []
LOCK = threading.Lock()
# Access keys that were given out: id -> (secret, session token or None).
KEYS = {"AKIAENVIRONMENT": ("canary-env-secret", None)}
ISSUER_KEY = rsa.generate_private_key(65537, 2048)
SERVICE_KEY = rsa.generate_private_key(65537, 2048)
ROLE = "arn:aws:iam::123456789012:role/push"
OTHER_ROLE = "arn:aws:iam::210987654321:role/other"
TENANT, CLIENT = "72f988bf-0000-0000-0000-000000000000", "11111111-2222-3333-4444-555555555555"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s"
COUNT = [0]


class Refused(Exception):
    def __init__(self, status, body, kind="application/json", headers=()):
        self.status, self.body, self.kind, self.headers = status, body, kind, dict(headers)


def number():
    with LOCK:
        COUNT[0] += 1
        return COUNT[0]


def expiry():
    return time.time() + STATE["ttl"]


def rfc3339(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def flip(text):
    """The same with one byte changed, in the middle."""
    at = len(text) // 2
    return text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1:]


# --- AWS

def aws_xml(status, code, message):
    return Refused(status, f"<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>"
                   f"<Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>", "text/xml")


def aws_json(status, code, message):
    return Refused(status, json.dumps({"__type": code, "message": message}), "application/x-amz-json-1.1")


def new_keys():
    n = number()
    name, secret, token = f"ASIA{n:016}", f"canary-secret-{n}/+=", f"canary-session-{n}/+=="
    KEYS[name] = (secret, token)
    return name, secret, token


def signed_by(request, service, refuse):
    """The access key that signed the request, as botocore computes signatures."""
    header = request.headers.get("authorization", "")
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                         r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", header)
    if not found:
        raise refuse(403, "IncompleteSignature", "no signature")
    key, date, region, signed_for, names, signature = found.groups()
    names = names.split(";")
    if key not in KEYS:
        raise refuse(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    secret, token = KEYS[key]
    if request.headers.get("x-amz-security-token") != token:
        raise refuse(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
    when = request.headers.get("x-amz-date", "")
    try:
        at = datetime.datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
    except ValueError:
        raise refuse(403, "IncompleteSignature", "bad date")
    must = {"host", "x-amz-date"} | ({"x-amz-security-token"} if token else set())
    must |= {name for name in request.headers if name == "x-amz-target"}
    if signed_for != service or not must <= set(names) or abs(time.time() - at) > 300 or date != when[:8]:
        raise refuse(403, "SignatureDoesNotMatch", "scope, date or headers")
    again = AWSRequest(method=request.command, url=f"http://{request.headers['host']}{request.target}",
                       data=request.body.encode(), headers={name: request.headers.get(name, "") for name in names})
    again.context["timestamp"] = when
    auth = SigV4Auth(Credentials(key, secret, token), service, region)
    text = auth.string_to_sign(again, auth.canonical_request(again))
    if auth.signature(text, again) != signature:
        raise refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
    return key, region


def sts(request):
    form = dict(up.parse_qsl(request.body, strict_parsing=True))
    action, role = form.get("Action"), form.get("RoleArn")
    if form.get("Version") != "2011-06-15" or not re.fullmatch(r"[\w+=,.@-]{2,64}", form.get("RoleSessionName", "")):
        raise aws_xml(400, "ValidationError", "version or session name")
    if action == "AssumeRoleWithWebIdentity":
        try:
            claims = jwt.decode(form["WebIdentityToken"], request.issuer(), algorithms=["RS256", "ES256"], audience="sts.amazonaws.com")
        except jwt.ExpiredSignatureError:
            raise aws_xml(400, "ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time")
        except jwt.PyJWTError:
            raise aws_xml(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")
        if role != ROLE or claims["sub"] not in SUBJECTS | set(STATE.get("subjects", [])):
            raise aws_xml(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    elif action == "AssumeRole":
        signed_by(request, "sts", aws_xml)
        if role != OTHER_ROLE:
            raise aws_xml(403, "AccessDenied", f"User is not authorized to perform: sts:AssumeRole on resource: {role}")
    else:
        raise aws_xml(400, "InvalidAction", "unknown")
    request.note(action=action, role=role)
    name, secret, token = new_keys()
    return f"<{action}Response><{action}Result><Credentials><AccessKeyId>{name}</AccessKeyId><SecretAccessKey>{secret}" \
           f"</SecretAccessKey><SessionToken>{token}</SessionToken><Expiration>{rfc3339(expiry())}</Expiration></Credentials>" \
           f"</{action}Result></{action}Response>", "text/xml"


def ecr(request):
    target = request.headers.get("x-amz-target")
    public = target == "SpencerFrontendService.GetAuthorizationToken"
    if not public and target != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken":
        raise aws_json(400, "UnknownOperationException", "")
    key, region = signed_by(request, "ecr-public" if public else "ecr", aws_json)
    request.note(key=key, region=region, public=public)
    password = f"canary-ecr-{number()}"
    data = {"authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(), "expiresAt": expiry()}
    PASSWORDS.add(("AWS", password))
    data = data if public else [dict(data, proxyEndpoint="https://x")]
    return json.dumps({"authorizationData": data}), "application/x-amz-json-1.1"


def handed():
    name, secret, token = new_keys()
    return json.dumps({"Code": "Success", "AccessKeyId": name, "SecretAccessKey": secret, "Token": token,
                       "Expiration": rfc3339(expiry())}), "application/json"


def container(request):
    if request.headers.get("authorization") != "canary-pod-token":
        raise Refused(401, json.dumps({"code": "AccessDeniedException", "message": "Unauthorized Exception! EKS does not have permissions"}))
    return handed()


def instance(request):
    if request.path == "/latest/api/token":
        if request.command != "PUT" or not request.headers.get("x-aws-ec2-metadata-token-ttl-seconds"):
            raise Refused(400, "", "text/plain")
        return "canary-imds", "text/plain"
    if request.headers.get("x-aws-ec2-metadata-token") != "canary-imds":
        raise Refused(401, "", "text/plain")
    return ("node-role", "text/plain") if request.path.endswith("/") else handed()


# --- Google

def invalid(message):
    return Refused(400, json.dumps({"error": "invalid_grant", "error_description": message}))


def granted(request, whose, **shape):
    request.note(whose=whose)
    token = f"canary-google-{number()}"
    PASSWORDS.add(("oauth2accesstoken", token))
    return json.dumps(shape or {"access_token": token, "expires_in": STATE["ttl"], "token_type": "Bearer"}), "application/json"


def id_token(account, audience):
    now = int(time.time())
    claims = {"iss": "https://accounts.google.com", "sub": "1234", "email": account, "email_verified": True,
              "aud": audience, "iat": now, "exp": now + 3600}
    return jwt.encode(claims, ISSUER_KEY, algorithm="RS256")


def google(request):
    path, body = request.path, request.body
    if path.startswith("/computeMetadata/"):
        if request.headers.get("metadata-flavor") != "Google":
            raise Refused(403, "Missing Metadata-Flavor:Google header.", "text/plain")
        return granted(request, "machine")
    if path.endswith(":generateIdToken"):
        account, asked = path.split("/")[-1].split(":")[0], json.loads(body)
        if request.headers.get("authorization") not in FEDERATED or account != "push@project.iam":
            raise Refused(403, json.dumps({"error": {"code": 403, "status": "PERMISSION_DENIED",
                                                     "message": "Permission 'iam.serviceAccounts.getOpenIdToken' denied"}}))
        assert set(asked) == {"audience", "includeEmail"} and asked["includeEmail"] is True
        return granted(request, account, token=id_token(account, asked["audience"]))
    if path.endswith(":generateAccessToken"):
        account, asked = path.split("/")[-1].split(":")[0], json.loads(body)
        if request.headers.get("authorization") not in FEDERATED:
            raise Refused(401, json.dumps({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "no"}}))
        if account != "push@project.iam" or asked["scope"] != ["https://www.googleapis.com/auth/cloud-platform"]:
            raise Refused(403, json.dumps({"error": {"code": 403, "status": "PERMISSION_DENIED",
                                                     "message": "Permission 'iam.serviceAccounts.getAccessToken' denied"}}))
        answer, kind = granted(request, account)
        answer = {"accessToken": json.loads(answer)["access_token"], "expireTime": rfc3339(expiry())}
        return json.dumps(answer), kind
    form = dict(up.parse_qsl(body))
    if path in ("/google/sts", "/google/v1/token"):
        try:
            if form["grant_type"] != "urn:ietf:params:oauth:grant-type:token-exchange" or form["audience"] != POOL \
                    or form["subject_token_type"] != "urn:ietf:params:oauth:token-type:jwt" \
                    or form["requested_token_type"] != "urn:ietf:params:oauth:token-type:access_token" \
                    or form["scope"] != "https://www.googleapis.com/auth/cloud-platform":
                raise invalid("request")
            jwt.decode(form["subject_token"], request.issuer(), algorithms=["RS256", "ES256"], audience=POOL)
        except (jwt.PyJWTError, KeyError):
            raise invalid("The given credential is rejected by the attribute condition.")
        answer, kind = granted(request, "federated")
        FEDERATED.add("Bearer " + json.loads(answer)["access_token"])
        return answer, kind
    if form.get("grant_type") == "refresh_token":
        if (form["client_id"], form["client_secret"], form["refresh_token"]) != ("c", "canary-client", "canary-refresh"):
            raise invalid("Token has been expired or revoked.")
        return granted(request, "person")
    try:
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            raise invalid("grant")
        if jwt.get_unverified_header(form["assertion"]).get("kid") != "k1":
            raise invalid("key id")
        audience = f"http://{request.headers['host']}/google/token"
        claims = jwt.decode(form["assertion"], SERVICE_KEY.public_key(), algorithms=["RS256"], audience=audience,
                            options={"require": ["exp", "iat", "iss"]})
    except (jwt.PyJWTError, KeyError):
        raise invalid("Invalid JWT Signature.")
    if "target_audience" in claims and "scope" not in claims and claims["exp"] - claims["iat"] <= 3600:
        return granted(request, claims["iss"], id_token=id_token(claims["iss"], claims["target_audience"]))
    if claims["exp"] - claims["iat"] > 3600 or claims["scope"] != "https://www.googleapis.com/auth/cloud-platform":
        raise invalid("Invalid JWT: Token must be a short-lived token")
    return granted(request, claims["iss"])


# --- Azure: Entra ID and the instance metadata; the registry's own part of it is below

def entra(status, code, message):
    return Refused(status, json.dumps({"error": code, "error_description": f"{message}\r\nTrace ID: 0", "error_codes": [int(message[6:message.index(":")])]}))


def entra_token(request, whose, audience, text=False):
    request.note(whose=whose, audience=audience)
    claims = {"aud": audience, "sub": whose, "tid": TENANT, "exp": int(expiry()), "canary": "canary"}
    answer = {"token_type": "Bearer", "expires_in": str(STATE["ttl"]) if text else STATE["ttl"], "access_token": jwt.encode(claims, SERVICE_KEY, "RS256")}
    return json.dumps(answer), "application/json"


def azure(request):
    tenant = request.path.split("/")[2]
    form = dict(up.parse_qsl(request.body, strict_parsing=True))
    if tenant != TENANT:
        raise entra(400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found.")
    if form.get("client_id") != CLIENT:
        raise entra(400, "unauthorized_client", f"AADSTS700016: Application with identifier '{form.get('client_id')}' was not found in the directory 'Contoso'.")
    if form.get("grant_type") != "client_credentials" or form.get("scope", "").removesuffix("/.default") not in AUDIENCES \
            or form.get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
        raise entra(400, "invalid_request", "AADSTS900144: The request body is malformed.")
    try:
        claims = jwt.decode(form["client_assertion"], request.issuer(), algorithms=["RS256", "ES256"], audience="api://AzureADTokenExchange",
                            options={"require": ["exp", "sub"]})
    except (jwt.PyJWTError, KeyError):
        raise entra(401, "invalid_client", "AADSTS700024: Client assertion is not within its valid time range, or its signature is not valid.")
    if claims["sub"] not in SUBJECTS | set(STATE.get("subjects", [])):
        raise entra(401, "invalid_client", f"AADSTS70021: No matching federated identity record found for presented assertion subject '{claims['sub']}'.")
    return entra_token(request, claims["sub"], form["scope"].removesuffix("/.default"))


def azure_machine(request):
    query = dict(up.parse_qsl(up.urlsplit(request.target).query))
    if request.headers.get("metadata") != "true" or query.get("api-version") != "2018-02-01" or query.get("resource") not in AUDIENCES:
        raise Refused(400, json.dumps({"error": "bad_request_102", "error_description": "Required metadata header not specified"}))
    if query.get("client_id") not in (None, CLIENT):
        raise Refused(400, json.dumps({"error": "invalid_request", "error_description": "Identity not found"}))
    return entra_token(request, "machine", query["resource"], text=True)


AUDIENCES = {"https://containerregistry.azure.net", "https://vault.azure.net"}
SUBJECTS = {"system:serviceaccount:tekton-chains:tekton-chains-controller"}
PASSWORDS, FEDERATED = set(), set()
SERVICES = [("entra", r"/azure/.*/oauth2/v2.0/token", azure), ("azure-machine", r"/metadata/identity/oauth2/token", azure_machine),
            ("google", r"/google/.*|/computeMetadata/.*/token", google), ("sts", r"/sts/", sts), ("ecr", r"/ecr/", ecr), ("aws-kms", r"/kms/", lambda request: KMS[0][2](request)), ("container", r"/container", container), ("instance", r"/latest/.*", instance)]


# --- The servers

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self, **more):
        with LOCK:
            LOG.append(dict(more, step=self.step))

    def serve(self):
        self.headers = {name.lower(): value for name, value in self.headers.items()}
        self.body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self.target, self.step = self.path, ""
        try:
            status, (body, kind), headers = 200, self.answer(), {}
        except Refused as refused:
            status, body, kind, headers = refused.status, refused.body, refused.kind, refused.headers
        body = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = serve

    def tampered(self):
        where = STATE["tamper"]
        if where == "body":
            self.body = flip(self.body)
        elif where and where.startswith("header:") and where[7:] in self.headers:
            self.headers[where[7:]] = flip(self.headers[where[7:]])
        elif where == "query":
            self.target += "?x"

    def issuer(self):
        """The key of whoever may have issued a token: of this file, or the one that a test has named."""
        return jwt.PyJWK(STATE["issuer"]).key if STATE.get("issuer") else ISSUER_KEY.public_key()

    def answer(self):
        self.path = up.urlsplit(self.path).path
        if self.path == "/_control":
            STATE.update(json.loads(self.body))
            return "{}", "application/json"
        if self.path == "/_log":
            with LOCK:
                return json.dumps(LOG), "application/json"
        if self.path == "/_token":
            return jwt.encode(json.loads(self.body), ISSUER_KEY, "RS256"), "text/plain"
        if self.path == "/_service_key":
            kind = serialization.PrivateFormat.PKCS8
            return SERVICE_KEY.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode(), "text/plain"
        for self.step, pattern, service in self.services():
            if re.fullmatch(pattern, self.path):
                if self.step in STATE["fail"]:
                    status, body, headers = STATE["fail"][self.step]
                    raise Refused(status, body, headers=headers)
                self.tampered()
                return service(self)
        raise Refused(404, "no such service", "text/plain")

    def services(self):
        return SERVICES


class Registry(Handler):
    """The registries behind the proxy: Basic authentication with what was given out; pull finds a manifest."""

    def services(self):
        return REGISTRY


def registry(request):
    login = request.headers.get("authorization", "")
    try:
        name, _, password = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":")
    except ValueError:
        name = password = ""
    if (name, password) in PASSWORDS and STATE.get("expired"):
        PASSWORDS.discard((name, password))
        request.note(host=request.headers["host"], expired=password)
        STATE["expired"] -= 1
        raise Refused(403, json.dumps({"errors": [{"code": "DENIED", "message": "Your authorization token has expired. Reauthenticate and try again."}]}))
    if (name, password) not in PASSWORDS:
        raise Refused(401, json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}), headers={"WWW-Authenticate": "Basic realm=\"x\""})
    request.note(host=request.headers["host"], name=name)
    return "{}", "application/json"


def acr_error(message):
    return Refused(401, json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": message}]}))


def acr_token(request, kind, ttl, **claims):
    request.note(host=request.headers["host"], **claims)
    return json.dumps({kind: jwt.encode(dict(claims, aud=request.headers["host"], kind=kind, exp=int(time.time() + ttl), n=number(), canary="canary"), ACR_KEY, "RS256")}), "application/json"


def acr_exchange(request):
    host, form = request.headers["host"], dict(up.parse_qsl(request.body, strict_parsing=True))
    if form.get("grant_type") != "access_token" or form.get("service") != host or form.get("tenant", TENANT) != TENANT:
        raise acr_error("invalid request")
    try:
        claims = jwt.decode(form["access_token"], SERVICE_KEY.public_key(), algorithms=["RS256"], audience="https://containerregistry.azure.net")
    except (jwt.PyJWTError, KeyError):
        raise acr_error("AADSTS failure: the token is not valid")
    return acr_token(request, "refresh_token", STATE["ttl"], sub=claims["sub"])


def acr_access(request):
    host, form = request.headers["host"], dict(up.parse_qsl(request.body, strict_parsing=True))
    try:
        claims = jwt.decode(form["refresh_token"], ACR_KEY.public_key(), algorithms=["RS256"], audience=host)
        if claims["kind"] != "refresh_token" or form["grant_type"] != "refresh_token" or form["service"] != host:
            raise acr_error("invalid request")
    except (jwt.PyJWTError, KeyError):
        raise acr_error("authentication required")
    return acr_token(request, "access_token", STATE["ttl"], sub=claims["sub"], scope=form["scope"])


def acr(request):
    host = request.headers["host"]
    try:
        claims = jwt.decode(request.headers.get("authorization", "").removeprefix("Bearer "), ACR_KEY.public_key(), algorithms=["RS256"], audience=host)
        if claims["kind"] != "access_token":
            raise jwt.PyJWTError()
    except jwt.PyJWTError:
        raise Refused(401, json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}),
                      headers={"WWW-Authenticate": f'Bearer realm="https://{host}/oauth2/token",service="{host}"'})
    request.note(host=host, scope=claims["scope"])
    return "{}", "application/json"


def any_registry(request):
    return acr(request) if request.headers["host"].endswith(".azurecr.io") else registry(request)


ACR_KEY = rsa.generate_private_key(65537, 2048)
KMS = kms.services(sys.modules[__name__])
REGISTRY = KMS + [("registry", r"/v2/.*", any_registry), ("acr-exchange", r"/oauth2/exchange", acr_exchange), ("acr-token", r"/oauth2/token", acr_access)]


def certificates(folder):
    now = datetime.datetime.utcnow()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clouds of a test")])
    key = ec.generate_private_key(ec.SECP256R1())

    def issue(subject_key, extension, critical):
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(subject_key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        made = made.not_valid_after(now + datetime.timedelta(days=1)).add_extension(extension, critical)
        return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    names = ["*.dkr.ecr.us-east-1.amazonaws.com", "public.ecr.aws", "*.pkg.dev", "gcr.io", "*.azurecr.io",
             "kms.us-east-1.amazonaws.com", "cloudkms.googleapis.com", "*.vault.azure.net"]
    own = ec.generate_private_key(ec.SECP256R1())
    private = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for file, content in [("ca.crt", issue(key, x509.BasicConstraints(True, None), True)),
                          ("server.pem", private + issue(own, x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False))]:
        with open(os.path.join(folder, file), "wb") as out:
            out.write(content)


def serve(handler, context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def proxy(port):
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink):
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def tunnel(client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return
            head += piece
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        upstream = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
        pump(upstream, client)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=tunnel, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def main():
    folder = sys.argv[1]
    certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server.pem"))
    print(json.dumps({"http": serve(Handler), "proxy": proxy(serve(Registry, context))}), flush=True)
    sys.stdin.read()


main()
