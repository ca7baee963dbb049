//! The registry over HTTP, asked by a plain client and by an OCI client of somebody else's making.

use std::collections::HashMap;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LINK, LOCATION, WWW_AUTHENTICATE};
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::{RequestBuilder, Response};

use super::*;
use crate::artifact::digest::Digest;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running registry with a reader and a writer, and a client for it.
struct Fixture {
    registry: EmbeddedRegistry,
    http: reqwest::Client,
}

impl Fixture {
    async fn start() -> Self {
        // Fails only when another test was first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let users =
            vec![User::new("reader", "r-secret", Right::Pull), User::new("writer", "w-secret", Right::Push)];
        let registry = EmbeddedRegistry::start(users).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Self { registry, http }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let absolute = path.starts_with("http");
        let url =
            if absolute { path.to_owned() } else { format!("http://{}{path}", self.registry.address()) };
        self.http.request(method, url)
    }

    async fn token(&self, user: &str, password: &str, scope: &str) -> Response {
        let path = format!("/token?service=hallmark-demo&scope={scope}");
        self.request(Method::GET, &path).basic_auth(user, Some(password)).send().await.unwrap()
    }

    /// Sends as `user` with a token for `pull,push` in `repository`, as far as the user has that.
    async fn send(&self, user: &str, repository: &str, request: RequestBuilder) -> Response {
        let password = format!("{}-secret", &user[..1]);
        let answer = self.token(user, &password, &format!("repository:{repository}:pull,push")).await;
        let body: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        request.bearer_auth(body["token"].as_str().unwrap()).send().await.unwrap()
    }

    async fn push_blob(&self, blob: &'static [u8]) -> Digest {
        let digest = Digest::of(blob);
        let path = format!("/v2/team/app/blobs/uploads/?digest={digest}");
        let answer = self.send("writer", "team/app", self.request(Method::POST, &path).body(blob)).await;
        assert_eq!(answer.status(), 201);
        digest
    }

    async fn push_manifest(&self, tag: &str, manifest: String) -> Response {
        let path = format!("/v2/team/app/manifests/{tag}");
        let request = self.request(Method::PUT, &path).header(CONTENT_TYPE, IMAGE).body(manifest);
        self.send("writer", "team/app", request).await
    }

    async fn read(&self, path: &str) -> Response {
        self.send("reader", "team/app", self.request(Method::GET, path)).await
    }
}

async fn error_code(answer: Response) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    body["errors"][0]["code"].as_str().unwrap().to_owned()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn without_a_token_everything_is_refused_with_a_challenge_that_names_the_scope() {
    let it = Fixture::start().await;
    let ping = it.request(Method::GET, "/v2/").send().await.unwrap();
    assert_eq!(ping.status(), 401);
    let realm = format!("Bearer realm=\"http://{}/token\"", it.registry.address());
    assert!(header(&ping, WWW_AUTHENTICATE.as_str()).starts_with(&realm));
    for (method, path, scope) in [
        (Method::GET, "/v2/team/app/tags/list", "repository:team/app:pull\""),
        (Method::POST, "/v2/team/app/blobs/uploads/", "repository:team/app:pull,push\""),
        (Method::PUT, "/v2/team/app/manifests/v1", "repository:team/app:pull,push\""),
    ] {
        let answer = it.request(method, path).header(AUTHORIZATION, "Bearer made-up").send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert!(header(&answer, WWW_AUTHENTICATE.as_str()).contains(scope), "{path}");
        assert_eq!(error_code(answer).await, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_reader_is_refused_where_a_writer_may_push_and_the_log_says_who_asked() {
    let it = Fixture::start().await;
    let upload = || it.request(Method::POST, "/v2/team/app/blobs/uploads/");
    let refused = it.send("reader", "team/app", upload()).await;
    assert_eq!(refused.status(), 401);
    assert!(header(&refused, WWW_AUTHENTICATE.as_str()).ends_with("error=\"insufficient_scope\""));
    assert_eq!(error_code(refused).await, "DENIED");
    assert_eq!(it.send("writer", "team/app", upload()).await.status(), 202);
    let elsewhere = it.send("writer", "other", upload()).await;
    assert_eq!(elsewhere.status(), 401, "a token is for its own repository");
    assert_eq!(it.token("writer", "wrong", "").await.status(), 401);

    let log = it.registry.log();
    let posts: Vec<_> = log.iter().filter(|r| r.method == "POST").collect();
    let of = |user: &str, status| {
        let path = "/v2/team/app/blobs/uploads/".to_owned();
        Request { method: "POST".to_owned(), path, status, user: Some(user.to_owned()) }
    };
    assert_eq!(posts, [&of("reader", 401), &of("writer", 202), &of("writer", 401)]);
    let last = log.last().unwrap();
    assert_eq!((last.status, &last.user), (401, &None));
}

#[tokio::test]
async fn a_blob_goes_up_in_chunks_or_at_once_and_comes_down_the_same() {
    let it = Fixture::start().await;
    let digest = it.push_blob(b"at once").await;
    assert_eq!(it.read(&format!("/v2/team/app/blobs/{digest}")).await.bytes().await.unwrap(), "at once");

    let begun = it.request(Method::POST, "/v2/team/app/blobs/uploads/");
    let begun = it.send("writer", "team/app", begun).await;
    let location = header(&begun, LOCATION.as_str()).to_owned();
    let chunk = it.request(Method::PATCH, &location).header("content-range", "0-2").body("abc");
    let chunk = it.send("writer", "team/app", chunk).await;
    assert_eq!((chunk.status().as_u16(), header(&chunk, "range")), (202, "0-2"));
    let gap = it.request(Method::PATCH, &location).header("content-range", "9-11").body("xyz");
    assert_eq!(it.send("writer", "team/app", gap).await.status(), 416);
    let digest = Digest::of(b"abcdef");
    let last = it.request(Method::PUT, &format!("{location}?digest={digest}")).body("def");
    assert_eq!(it.send("writer", "team/app", last).await.status(), 201);

    let path = format!("/v2/team/app/blobs/{digest}");
    let head = it.send("reader", "team/app", it.request(Method::HEAD, &path)).await;
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "6"));
    assert_eq!(it.read(&path).await.bytes().await.unwrap(), "abcdef");
}

#[tokio::test]
async fn content_with_another_digest_is_refused() {
    let it = Fixture::start().await;
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", Digest::of(b"x"));
    let answer = it.send("writer", "team/app", it.request(Method::POST, &path).body("y")).await;
    assert_eq!((answer.status().as_u16(), error_code(answer).await.as_str()), (400, "DIGEST_INVALID"));
    let begun = it.request(Method::POST, "/v2/team/app/blobs/uploads/?digest=md5:1");
    assert_eq!(it.send("writer", "team/app", begun).await.status(), 400);
}

#[tokio::test]
async fn a_manifest_larger_than_the_limit_is_refused() {
    let it = Fixture::start().await;
    let answer = it.push_manifest("v1", " ".repeat((4 << 20) + 1)).await;
    assert_eq!((answer.status().as_u16(), error_code(answer).await.as_str()), (413, "SIZE_INVALID"));
}

#[tokio::test]
async fn a_referrer_is_acknowledged_and_listed() {
    let it = Fixture::start().await;
    let config = it.push_blob(b"{}").await;
    let subject = Digest::of(b"subject");
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": IMAGE, "artifactType": "sig",
        "config": {"mediaType": "c", "digest": config.to_string(), "size": 2}, "layers": [],
        "subject": {"mediaType": IMAGE, "digest": subject.to_string(), "size": 7}});
    let pushed = it.push_manifest("a", manifest.to_string()).await;
    assert_eq!(
        (pushed.status().as_u16(), header(&pushed, "oci-subject")),
        (201, subject.to_string().as_str())
    );
    let listed = it.read(&format!("/v2/team/app/referrers/{subject}?artifactType=sig")).await;
    assert_eq!(header(&listed, "oci-filters-applied"), "artifactType");
    let index: serde_json::Value = serde_json::from_slice(&listed.bytes().await.unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["artifactType"], "sig");
}

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let it = Fixture::start().await;
    for tag in ["c", "a", "b"] {
        assert_eq!(it.push_manifest(tag, format!("{{\"mediaType\":\"{IMAGE}\"}}")).await.status(), 201);
    }
    let first = it.read("/v2/team/app/tags/list?n=2").await;
    assert_eq!(header(&first, LINK.as_str()), "</v2/team/app/tags/list?n=2&last=b>; rel=\"next\"");
    assert_eq!(first.bytes().await.unwrap(), r#"{"name":"team/app","tags":["a","b"]}"#);
    let rest = it.read("/v2/team/app/tags/list?n=2&last=b").await;
    assert_eq!(rest.bytes().await.unwrap(), r#"{"name":"team/app","tags":["c"]}"#);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_supported_say_so() {
    let it = Fixture::start().await;
    let digest = Digest::of(b"absent");
    for (path, code) in [
        (format!("/v2/team/app/blobs/{digest}"), "BLOB_UNKNOWN"),
        (format!("/v2/team/app/manifests/{digest}"), "MANIFEST_UNKNOWN"),
        ("/v2/team/app/manifests/v1".to_owned(), "MANIFEST_UNKNOWN"),
        ("/v2/team/app/blobs/uploads/none".to_owned(), "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/team/app/tags/list".to_owned(), "NAME_UNKNOWN"),
        ("/v2/_catalog".to_owned(), "NAME_UNKNOWN"),
        ("/other".to_owned(), "NAME_UNKNOWN"),
    ] {
        let user = if path.ends_with("none") { "writer" } else { "reader" };
        let answer = it.send(user, "team/app", it.request(Method::GET, &path)).await;
        assert_eq!((answer.status().as_u16(), error_code(answer).await.as_str()), (404, code), "{path}");
    }
    let delete = it.request(Method::DELETE, "/v2/team/app/manifests/v1");
    assert_eq!(it.send("writer", "team/app", delete).await.status(), 405);
}

#[tokio::test]
async fn a_client_of_somebody_elses_making_pushes_and_pulls_an_image() {
    let it = Fixture::start().await;
    let client =
        oci_client::Client::new(ClientConfig { protocol: ClientProtocol::Http, ..Default::default() });
    let image: Reference = format!("{}/team/app:v1", it.registry.address()).parse().unwrap();
    let as_user = |name: &str, word: &str| RegistryAuth::Basic(name.to_owned(), word.to_owned());
    let layer = ImageLayer::oci_v1_gzip(&b"layer"[..], None);
    let config = Config::oci_v1(&b"{}"[..], None);

    let reader = as_user("reader", "r-secret");
    let refused = client.push(&image, std::slice::from_ref(&layer), config.clone(), &reader, None).await;
    assert!(refused.is_err(), "a reader pushed");
    let fresh =
        oci_client::Client::new(ClientConfig { protocol: ClientProtocol::Http, ..Default::default() });
    let writer = as_user("writer", "w-secret");
    fresh.auth(&image, &writer, RegistryOperation::Push).await.unwrap();
    fresh.push(&image, &[layer], config, &writer, None).await.unwrap();
    let pulled =
        client.pull(&image, &reader, vec!["application/vnd.oci.image.layer.v1.tar+gzip"]).await.unwrap();
    assert_eq!(pulled.layers[0].data, "layer");
}

#[tokio::test]
async fn after_stop_nobody_answers_and_neither_passwords_nor_tokens_print() {
    let it = Fixture::start().await;
    it.push_blob(b"something").await;
    let printed = format!("{:?} {:?}", it.registry, User::new("u", "canary", Right::Pull));
    assert!(!printed.contains("canary") && !printed.contains("-secret"), "{printed}");
    let paths: HashMap<_, _> = it.registry.log().into_iter().map(|r| (r.path, r.status)).collect();
    assert_eq!(paths["/token?service=hallmark-demo&scope=repository:team/app:pull,push"], 200);
    let address = it.registry.address();
    it.registry.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
