//! Signature Version 4, for the few requests that are made here: a path and a query that are sent as they stand, a body
//! that is at hand. Pure; time is an argument. Checked against botocore in `tests/cloud`.
//!
//! By hand and not by `aws-sigv4`: see Cargo.toml.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use url::{Position, Url};
use zeroize::Zeroizing;

use super::Keys;

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// GET, POST or PUT.
    pub method: &'a str,
    /// Where it goes.
    pub url: &'a Url,
    /// Headers that count, names in lower case; `host` and those of the signature come by themselves.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// For whom a signature counts.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The region.
    pub region: &'a str,
    /// The service, as signatures name it.
    pub service: &'a str,
}

/// What is sent beside the headers that were given.
pub struct Signed {
    /// `Authorization`.
    pub authorization: String,
    /// Further headers.
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
}

/// Signs `request` with `keys`.
pub fn sign(request: &Request<'_>, keys: &Keys, scope: Scope<'_>, now: Timestamp) -> Signed {
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = time.split('T').next().unwrap_or_default();
    let mut added = vec![("x-amz-date", Zeroizing::new(time.clone()))];
    if let Some(token) = &keys.token {
        added.push(("x-amz-security-token", Zeroizing::new(token.expose_text().into_owned())));
    }
    let host = &request.url[Position::BeforeHost..Position::AfterPort];
    let mut headers: Vec<(&str, &str)> = request.headers.to_vec();
    headers.push(("host", host));
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");

    let canonical = canonical(request, &headers, &names);
    let Scope { region, service } = scope;
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let hash = hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{hash}");

    let secret = Zeroizing::new([b"AWS4", keys.secret.expose()].concat());
    let steps = [date, region, service, "aws4_request"];
    let key = steps.iter().fold(secret, |key, step| Zeroizing::new(mac(&key, step).as_ref().to_vec()));
    let signature = hex::encode(mac(&key, &text));
    let authorization =
        format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.id);
    Signed { authorization, headers: added }
}

/// The request as both sides write it down.
fn canonical(request: &Request<'_>, headers: &[(&str, &str)], names: &str) -> Zeroizing<String> {
    let mut text =
        Zeroizing::new(format!("{}\n{}\n{}\n", request.method, request.url.path(), query(request.url)));
    for (name, value) in headers {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name}:{}", value.trim());
    }
    let hash = hex::encode(digest::digest(&digest::SHA256, request.body));
    let _ = write!(text, "\n{names}\n{hash}");
    text
}

fn query(url: &Url) -> String {
    let mut pairs: Vec<&str> =
        url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
