//! Access keys of AWS, and the services of a machine that hand them out: the endpoint of containers (ECS, EKS Pod
//! Identity) and the metadata of an instance.

use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use crate::client::cloud::said::element;
use crate::client::cloud::{Attempt, Error, Web, ask, json, optional_secret, secret};
use crate::credential::Redacted;

/// Access keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Which key: no secret.
    pub id: String,
    /// The key.
    pub secret: Redacted,
    /// What goes with keys that end.
    pub token: Option<Redacted>,
    /// When they end, if they do.
    pub expires_at: Option<Timestamp>,
}

impl Keys {
    /// What must not be shown.
    pub(in crate::client::cloud) fn secrets(&self) -> Vec<&Redacted> {
        [Some(&self.secret), self.token.as_ref()].into_iter().flatten().collect()
    }

    /// As STS writes them.
    pub(super) fn of_xml(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        Some(Self {
            id: element(text, "AccessKeyId")?,
            secret: element(text, "SecretAccessKey")?.into(),
            token: Some(element(text, "SessionToken")?.into()),
            expires_at: element(text, "Expiration").and_then(|at| at.parse().ok()),
        })
    }
}

/// Keys from the endpoint of containers at `address`, which knows its callers by `authorization`.
pub async fn container(web: &Web, address: &Url, authorization: Option<&Redacted>) -> Result<Keys, Error> {
    let remedy = "see that the service account has a Pod Identity association, or the task a role";
    let attempt = Attempt::at(address, "the AWS container credentials", "keys of the pod".to_owned(), remedy);
    let client =
        if address.scheme() == "https" { web.to(address)? } else { web.metadata(&attempt, address).await? };
    let mut request = client.get(address.clone());
    if let Some(token) = authorization {
        request = request.header(http::header::AUTHORIZATION, token.expose().trim_ascii());
    }
    let secrets: Vec<&Redacted> = authorization.into_iter().collect();
    let body = ask(&attempt, request, &secrets).await?;
    json::<Handed>(&attempt, &body)?.keys().ok_or_else(|| attempt.malformed())
}

/// Keys of the role of the instance, from the metadata service at `endpoint`, and the name of that role.
pub async fn instance(web: &Web, endpoint: &Url) -> Result<(Keys, String), Error> {
    let remedy = "give the instance a role, or let pods reach its metadata (hop limit 2)";
    let attempt = |what: &str| Attempt::at(endpoint, "the EC2 instance metadata", what.to_owned(), remedy);
    let at = |path: &str| {
        let mut address = endpoint.clone();
        address.set_path(path);
        address
    };
    let step = attempt("a session");
    let client = web.metadata(&step, endpoint).await?;
    let request = client.put(at("/latest/api/token")).header("x-aws-ec2-metadata-token-ttl-seconds", "60");
    let session = ask(&step, request, &[]).await?;
    let session = Redacted::from(session.trim_ascii());
    let asked = |address: Url| client.get(address).header("x-aws-ec2-metadata-token", session.expose());

    let step = attempt("the role of the instance");
    let name = ask(&step, asked(at(ROLES)), &[&session]).await?;
    let name = std::str::from_utf8(&name).ok().and_then(|names| names.lines().next()).unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(step.malformed());
    }
    let step = attempt(&format!("keys of role {name}"));
    let body = ask(&step, asked(at(&format!("{ROLES}{name}"))), &[&session]).await?;
    let keys = json::<Handed>(&step, &body)?.keys().ok_or_else(|| step.malformed())?;
    Ok((keys, name.to_owned()))
}

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// As both write them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Handed {
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    secret_access_key: Redacted,
    #[serde(default, deserialize_with = "optional_secret")]
    token: Option<Redacted>,
    expiration: Option<Timestamp>,
}

impl Handed {
    fn keys(self) -> Option<Keys> {
        let keys = Keys {
            id: self.access_key_id,
            secret: self.secret_access_key,
            token: self.token,
            expires_at: self.expiration,
        };
        Some(keys).filter(|keys| !keys.id.is_empty() && !keys.secret.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_out_of_the_answer_of_sts_and_nothing_less_than_all_of_them() {
        let xml = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
                   <SecretAccessKey>s/+=</SecretAccessKey><SessionToken>t</SessionToken>\
                   <Expiration>2026-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let keys = Keys::of_xml(xml.as_bytes()).unwrap();
        assert_eq!((keys.id.as_str(), keys.secret), ("ASIA1", "s/+=".into()));
        assert_eq!(keys.token, Some("t".into()));
        assert_eq!(keys.expires_at, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        for part in ["<AccessKeyId>", "</SecretAccessKey>", "<SessionToken>"] {
            assert_eq!(Keys::of_xml(xml.replace(part, "").as_bytes()), None, "{part}");
        }
    }

    #[test]
    fn keys_that_are_handed_out_print_no_secret_and_are_never_empty() {
        let handed = |secret: &str| {
            let text = format!(r#"{{"AccessKeyId":"AKIA","SecretAccessKey":"{secret}","Token":"canary"}}"#);
            serde_json::from_str::<Handed>(&text).unwrap().keys()
        };
        assert!(!format!("{:?}", handed("canary").unwrap()).contains("canary"));
        assert_eq!(handed(""), None);
    }
}
