"""Stores on loopback that share no code with what is tested, and that check what they receive: Archivista, Container
Analysis, Azure Blob Storage; and whoever says who the process is: the metadata servers of Google Cloud and Azure.

Prints one line of JSON with its port, and ends when its standard input does. Under /_control (POST, merged) are "fail":
{"METHOD /path prefix": [status, content]}, "hang": [path prefixes that are never answered], "index": whether Archivista has
one. DynamoDB is there too, with botocore to recompute signatures and to validate requests by its model
of the service, where botocore is installed. /_log is everything that was asked, /_state what is kept.
"""

import base64, email.utils, hashlib, http.server, json, re, sys, threading, time
import urllib.parse as up

STATE = {"fail": {}, "hang": [], "index": True}
LOG, LOCK = [], threading.Lock()
GOOGLE, AZURE = "ya29.canary-google", "canary-azure"
ENVELOPES, NOTES, OCCURRENCES, BLOBS, ITEMS, DOCUMENTS = {}, {}, [], {}, {}, {}
KEYS = {"AKIATABLE": "canary-table-secret"}


class Refused(Exception):
    def __init__(self, status, code, message="", name="error"):
        error = {"code": status, "status": code, "message": message}
        self.status, self.body = status, json.dumps({name: error} if name == "error" else {name: code, "message": message})


def must(condition, message):
    if not condition:
        raise Refused(400, "INVALID_ARGUMENT", message)


# --- Archivista

def envelope_of(body):
    """A DSSE envelope with a statement, and the digests of its subjects."""
    envelope = json.loads(body)
    must(set(envelope) == {"payloadType", "payload", "signatures"}, "fields of the envelope")
    must(envelope["payloadType"] == "application/vnd.in-toto+json", "payload type")
    must(envelope["signatures"] and all(base64.b64decode(s["sig"], validate=True) for s in envelope["signatures"]), "sig")
    statement = json.loads(base64.b64decode(envelope["payload"], validate=True))
    must(statement["_type"].startswith("https://in-toto.io/Statement/"), "statement")
    return [hex for subject in statement.get("subject") or [] for hex in subject["digest"].values()]


def archivista(method, path, body, headers):
    if method == "POST" and path == "/upload":
        digests = envelope_of(body)
        name = hashlib.sha256(b"blob %d\0" % len(body) + body).hexdigest()
        ENVELOPES[name] = (body, digests)
        return 200, {"gitoid": name}
    if method == "POST" and path == "/query":
        if not STATE["index"]:
            raise Refused(404, "NOT_FOUND")
        asked = json.loads(body)
        must("hasSubjectDigestsWith" in asked["query"] and asked["query"].count("{") == asked["query"].count("}"), "query")
        found = [name for name, (_, digests) in ENVELOPES.items() if asked["variables"]["digest"] in digests]
        edges = [{"node": {"gitoidSha256": name}} for name in found[-asked["variables"]["most"]:]]
        return 200, {"data": {"dsses": {"edges": edges}}}
    if method == "GET" and path.startswith("/download/"):
        if path[10:] not in ENVELOPES:
            raise Refused(404, "NOT_FOUND")
        return 200, ENVELOPES[path[10:]][0]
    raise Refused(404, "NOT_FOUND")


# --- Container Analysis

def grafeas(method, path, body, headers):
    if headers.get("authorization") != f"Bearer {GOOGLE}":
        raise Refused(401, "UNAUTHENTICATED", "no token")
    url = up.urlsplit(path)
    query = dict(up.parse_qsl(url.query))
    found = re.fullmatch(r"/v1/projects/([^/]+)/(notes|occurrences)", url.path)
    if not found:
        raise Refused(404, "NOT_FOUND")
    project, kind = found.groups()
    if project != "project":
        raise Refused(403, "PERMISSION_DENIED", "Permission denied on resource project " + project)
    if kind == "notes":
        note, name = json.loads(body), f"projects/{project}/notes/{query['noteId']}"
        must(("attestation" in note) != ("build" in note), "kind of note")
        if name in NOTES:
            raise Refused(409, "ALREADY_EXISTS")
        NOTES[name] = note
        return 200, {**note, "name": name}
    if method == "GET":
        wanted = json.loads(re.fullmatch(r'resourceUrl=(".*")', query["filter"]).group(1))
        matching = [o for o in OCCURRENCES if o["resourceUri"] == wanted]
        # Two on a page, so that whoever stops at the first one is found out.
        at = int(query.get("pageToken", 0))
        more = {"nextPageToken": str(at + 2)} if len(matching) > at + 2 else {}
        return 200, {"occurrences": matching[at:at + 2], **more}
    occurrence = json.loads(body)
    if occurrence["noteName"] not in NOTES:
        raise Refused(404, "NOT_FOUND", "note")
    kind = [k for k in ("attestation", "build") if k in occurrence]
    must(len(kind) == 1 and kind[0] in NOTES[occurrence["noteName"]], "kind of occurrence")
    base64.b64decode(occurrence["envelope"]["payload"], validate=True)
    made = {**occurrence, "name": f"projects/{project}/occurrences/{len(OCCURRENCES)}"}
    OCCURRENCES.append(made)
    return 200, made


# --- Azure Blob Storage

def azure(method, path, body, headers):
    def refuse(status, code):
        raise Refused(status, code, "said so")
    if headers.get("authorization") != f"Bearer {AZURE}":
        refuse(401, "InvalidAuthenticationInfo")
    if headers.get("x-ms-version", "") < "2017-11-09":
        refuse(400, "InvalidHeaderValue")
    if abs(email.utils.parsedate_to_datetime(headers["x-ms-date"]).timestamp() - time.time()) > 300:
        refuse(403, "RequestExpired")
    container, name = up.unquote(path)[1:].split("/", 1)
    if container != "signatures":
        refuse(404, "ContainerNotFound")
    if method == "GET":
        return (200, BLOBS[name]) if name in BLOBS else refuse(404, "BlobNotFound")
    if headers.get("x-ms-blob-type") != "BlockBlob":
        refuse(400, "MissingRequiredHeader")
    if headers.get("if-none-match") == "*" and name in BLOBS:
        refuse(409, "BlobAlreadyExists")
    BLOBS[name] = body
    return 201, b""


# --- DynamoDB

def dynamodb(method, path, body, headers):
    import botocore.session
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from botocore.validate import ParamValidator

    def refuse(status, code):
        raise Refused(status, "com.amazonaws.dynamodb.v20120810#" + code, "said so", "__type")
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/dynamodb/aws4_request, "
                         r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", headers.get("authorization", ""))
    if not found or found.group(1) not in KEYS:
        refuse(400, "UnrecognizedClientException")
    key, region, names, signature = found.groups()
    again = AWSRequest(method=method, url=f"http://{headers['host']}{'/dynamodb' + path}", data=body,
                       headers={name: headers[name] for name in names.split(";")})
    again.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(key, KEYS[key]), "dynamodb", region)
    if auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again) != signature:
        refuse(400, "InvalidSignatureException")
    version, operation = headers["x-amz-target"].split(".")
    must(version == "DynamoDB_20120810" and headers["content-type"] == "application/x-amz-json-1.0", "target")
    content = json.loads(body)
    model = botocore.session.get_session().get_service_model("dynamodb").operation_model(operation)
    checked = json.loads(body)
    if "Item" in checked:
        checked["Item"]["Signed"] = {"B": base64.b64decode(checked["Item"]["Signed"]["B"], validate=True)}
    report = ParamValidator().validate(checked, model.input_shape)
    must(not report.has_errors(), report.generate_report())
    if operation == "BatchGetItem":  # the reader of Chains
        found = [ITEMS[key["Name"]["S"]] for key in content["RequestItems"]["signatures"]["Keys"] if key["Name"]["S"] in ITEMS]
        return 200, {"Responses": {"signatures": found}, "UnprocessedKeys": {}}
    if content["TableName"] != "signatures":
        refuse(400, "ResourceNotFoundException")
    if operation == "DescribeTable":  # the reader of Chains
        keys = [{"AttributeName": "Name", "KeyType": "HASH"}]
        return 200, {"Table": {"TableName": "signatures", "TableStatus": "ACTIVE", "KeySchema": keys}}
    if operation == "GetItem":
        name = content["Key"]["Name"]["S"]
        return 200, {"Item": ITEMS[name]} if name in ITEMS else {}
    must(operation == "PutItem", operation)
    name = content["Item"]["Name"]["S"]
    if content.get("ConditionExpression") == "attribute_not_exists(#key)" and name in ITEMS:
        must(content["ExpressionAttributeNames"] == {"#key": "Name"}, "names")
        refuse(400, "ConditionalCheckFailedException")
    ITEMS[name] = content["Item"]
    return 200, {}


# --- Firestore

def typed(value):
    """What a typed value of Firestore means; anything else is no value."""
    (kind, content), = value.items()
    if kind == "mapValue":
        return {name: typed(field) for name, field in content["fields"].items()}
    if kind == "arrayValue":
        return [typed(element) for element in content["values"]]
    must(kind in ("nullValue", "booleanValue", "integerValue", "doubleValue", "stringValue", "bytesValue"), kind)
    return int(content) if kind == "integerValue" else base64.b64decode(content, validate=True) if kind == "bytesValue" else content


def firestore(method, path, body, headers):
    if headers.get("authorization") != f"Bearer {GOOGLE}":
        raise Refused(401, "UNAUTHENTICATED", "no token")
    url = up.urlsplit(path)
    found = re.fullmatch(r"/v1/projects/project/databases/\(default\)/documents/signatures/([^/]+)", url.path)
    if not found:
        raise Refused(403, "PERMISSION_DENIED", "Missing or insufficient permissions.")
    name = up.unquote(found.group(1))
    must("/" not in name, "name of a document")
    if method == "GET":
        if name not in DOCUMENTS:
            raise Refused(404, "NOT_FOUND")
        return 200, DOCUMENTS[name]
    must(method == "PATCH", method)
    if dict(up.parse_qsl(url.query)).get("currentDocument.exists") == "false" and name in DOCUMENTS:
        raise Refused(409, "ALREADY_EXISTS")
    document = json.loads(body)
    read = {field: typed(value) for field, value in document["fields"].items()}
    must(set(read) == {"Signed", "Signature", "Cert", "Chain", "Object"}, "fields")
    must(read["Object"] == json.loads(read["Signed"]), "the object is what was signed")
    DOCUMENTS[name] = {**document, "name": url.path[4:]}
    return 200, DOCUMENTS[name]


# --- Who the process is

def metadata(method, path, body, headers):
    if path.startswith("/computeMetadata/v1/instance/service-accounts/default/token"):
        must(headers.get("metadata-flavor") == "Google", "flavor")
        return 200, {"access_token": GOOGLE, "expires_in": 3600, "token_type": "Bearer"}
    if path.startswith("/metadata/identity/oauth2/token"):
        must(headers.get("metadata") == "true" and "resource=https%3A%2F%2Fstorage.azure.com" in path, "resource")
        return 200, {"access_token": AZURE, "expires_in": "3600"}
    raise Refused(404, "NOT_FOUND")


PLACES = {"/archivista": archivista, "/grafeas": grafeas, "/azure": azure, "/dynamodb": dynamodb, "/firestore": firestore}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode() if not isinstance(body, str) else body.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        line = f"{self.command} {self.path}"
        if self.path == "/_control":
            STATE.update(json.loads(body))
            return self.answer(200, {})
        if self.path == "/_log":
            return self.answer(200, LOG)
        if self.path == "/_state":
            blobs = {name: base64.b64encode(content).decode() for name, content in BLOBS.items()}
            envelopes = {name: content.decode() for name, (content, _) in ENVELOPES.items()}
            return self.answer(200, {"blobs": blobs, "envelopes": envelopes, "notes": NOTES, "occurrences": OCCURRENCES, "items": ITEMS, "documents": DOCUMENTS})
        with LOCK:
            LOG.append(line)
        if any(self.path.startswith(prefix) for prefix in STATE["hang"]):
            time.sleep(3600)
        for prefix, (status, content) in STATE["fail"].items():
            if line.startswith(prefix):
                return self.answer(status, content)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            place = next((p for p in PLACES if (self.path + "/").startswith(p + "/")), "")
            with LOCK:
                status, content = PLACES.get(place, metadata)(self.command, self.path[len(place):], body, headers)
        except Refused as refused:
            status, content = refused.status, refused.body
        except Exception as error:
            status, content = 400, {"error": {"status": "INVALID_ARGUMENT", "message": repr(error)}}
        self.answer(status, content)

    do_GET = do_POST = do_PUT = do_PATCH = serve


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(json.dumps({"port": server.server_address[1]}), flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
