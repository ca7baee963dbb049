//! The policies that both are asked about, by what they are called here.

use serde_json::{Value, json};

use super::{ROOT, World};
use crate::tampered::forge::{ISSUER, NAME};

type Named = (&'static str, String);

impl World {
    pub(super) fn policies(&self) -> Vec<Named> {
        [
            self.with_keys(),
            self.with_identities(),
            self.with_static_answers(),
            self.with_globs(),
            self.of_two(),
        ]
        .concat()
    }

    fn authorities(&self, name: &'static str, authorities: &Value) -> Named {
        (name, self.policy("p", &json!({"authorities": authorities})))
    }

    fn by(&self, key: usize) -> Value {
        json!({"key": {"data": self.keys[key]}})
    }

    fn with_keys(&self) -> Vec<Named> {
        let [one, two] = [0, 1].map(|number| self.by(number));
        let attested = |kind: &str| {
            let mut authority = one.clone();
            authority["attestations"] = json!([{"name": "attested", "predicateType": kind}]);
            json!([authority])
        };
        let elsewhere = json!({"key": one["key"],
            "source": [{"oci": format!("{}/team/other", self.registry.host())}]});
        vec![
            self.authorities("key one", &json!([one])),
            self.authorities("key one or key two", &json!([one, two])),
            self.authorities("attested by key one", &attested("slsaprovenance1")),
            self.authorities("attested with another type", &attested("spdxjson")),
            self.authorities("signatures elsewhere", &json!([elsewhere])),
            ("only warns", self.policy("p", &json!({"mode": "warn", "authorities": [one]}))),
        ]
    }

    fn with_identities(&self) -> Vec<Named> {
        let exact = json!({"issuer": ISSUER, "subject": NAME});
        let patterns = json!({"issuerRegExp": "^https://issuer", "subjectRegExp": "serviceaccounts/agent$"});
        let loose = json!({"issuerRegExp": "issuer", "subjectRegExp": "namespaces/ci/"});
        let other_issuer = json!({"issuer": "https://else.test", "subject": NAME});
        let other_subject = json!({"issuer": ISSUER, "subject": "https://else.test"});
        let mut without_sct = keyless(&[&exact]);
        without_sct["keyless"]["insecureIgnoreSCT"] = json!(true);
        let mut stamped = keyless(&[&exact]);
        stamped["rfc3161timestamp"] = json!({"trustRootRef": ROOT});
        stamped.as_object_mut().unwrap().remove("ctlog");
        let formed = |format: &str| {
            let mut authority = keyless(&[&exact]);
            authority["signatureFormat"] = json!(format);
            json!([authority])
        };
        vec![
            self.authorities("the identity", &json!([keyless(&[&exact])])),
            self.authorities("the identity, as patterns", &json!([keyless(&[&patterns])])),
            self.authorities("a pattern that is not anchored", &json!([keyless(&[&loose])])),
            self.authorities("another issuer", &json!([keyless(&[&other_issuer])])),
            self.authorities(
                "issuer of one, subject of another identity",
                &json!([keyless(&[&other_issuer, &other_subject])]),
            ),
            self.authorities("the identity, SCT ignored", &json!([without_sct])),
            self.authorities("the identity, with a timestamp", &json!([stamped])),
            self.authorities("the identity, in bundles", &formed("bundle")),
            self.authorities("the identity, under tags", &formed("legacy")),
            self.authorities("the identity or key one", &json!([keyless(&[&exact]), self.by(0)])),
        ]
    }

    fn with_static_answers(&self) -> Vec<Named> {
        let one = self.by(0);
        vec![
            self.authorities("passes", &json!([{"static": {"action": "pass"}}])),
            self.authorities("fails", &json!([{"static": {"action": "fail", "message": "never"}}])),
            self.authorities("fails, or key one", &json!([{"static": {"action": "fail"}}, one])),
        ]
    }

    fn with_globs(&self) -> Vec<Named> {
        let (host, one) = (self.registry.host(), self.by(0));
        let of = |name, glob: String| {
            (name, self.policy("p", &json!({"authorities": [one], "images": [{"glob": glob}]})))
        };
        vec![
            of("another registry", "registry.example.com/**".to_owned()),
            of("one segment", format!("{host}/*")),
            of("one repository", format!("{host}/team/one@*")),
        ]
    }

    /// Two documents in a file: both must be satisfied.
    fn of_two(&self) -> Vec<Named> {
        let document = |name: &str, authority: Value| self.policy(name, &json!({"authorities": [authority]}));
        let both = |one: String, other: String| format!("{one}\n---\n{other}");
        let pass = json!({"static": {"action": "pass"}});
        vec![
            ("key one and key two", both(document("a", self.by(0)), document("b", self.by(1)))),
            ("key one, and all pass", both(document("a", self.by(0)), document("b", pass))),
        ]
    }
}

/// An authority that wants a certificate of one of these identities.
fn keyless(identities: &[&Value]) -> Value {
    json!({"keyless": {"url": "http://known.test", "trustRootRef": ROOT, "identities": identities},
        "ctlog": {"url": "http://rekor.test", "trustRootRef": ROOT}})
}
