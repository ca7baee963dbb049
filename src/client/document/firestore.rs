//! Firestore, over REST.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use url::Url;

use super::Document;
use crate::client::bucket::{Replace, Written};
use crate::client::store::{Answer, Error, Server, bearer, encoded};
use crate::credential::Redacted;

/// A collection.
#[derive(Debug)]
pub struct Firestore {
    server: Server,
    /// `projects/P/databases/(default)/documents/C`.
    collection: String,
    /// The field that is the name of a document, and no field of it.
    key: String,
}

impl Firestore {
    /// The collection of this full name at `server`; `key` is the field that names its documents.
    pub fn new(server: Server, collection: String, key: String) -> Self {
        Self { server, collection, key }
    }

    /// The document `name`, if there is one.
    pub async fn read(&self, token: &Redacted, name: &str) -> Result<Option<Document>, Error> {
        let what = format!("read document {name} of {}", self.collection);
        let request = bearer(self.server.client().get(self.at(name)), token);
        let answer = self.server.ask(&what, request, &[token]).await?;
        match answer.status.as_u16() {
            200 => {
                let read: Value =
                    serde_json::from_slice(&answer.body).map_err(|_| self.server.malformed(&what))?;
                Ok(Some(document(&read)))
            }
            404 if !(answer.mentions("database") && answer.mentions("does not exist")) => Ok(None),
            _ => Err(self.refused(&what, &answer)),
        }
    }

    /// Writes the document `name`.
    pub async fn write(
        &self,
        token: &Redacted,
        name: &str,
        document: &Document,
        replace: Replace,
    ) -> Result<Written, Error> {
        let what = format!("write document {name} of {}", self.collection);
        let mut url = self.at(name);
        if replace == Replace::Nothing {
            url.query_pairs_mut().append_pair("currentDocument.exists", "false");
        }
        let request = self.server.client().patch(url).header(CONTENT_TYPE, "application/json");
        let request = bearer(request.body(self.content(name, document).to_string()), token);
        let answer = self.server.ask(&what, request, &[token]).await?;
        match answer.status.as_u16() {
            200 => Ok(Written::Now),
            409 if replace == Replace::Nothing => Ok(Written::Before),
            400 if replace == Replace::Nothing && answer.says("FAILED_PRECONDITION") => Ok(Written::Before),
            _ => Err(self.refused(&what, &answer)),
        }
    }

    fn at(&self, name: &str) -> Url {
        self.server.at(&format!("/v1/{}/{}", encoded(&self.collection, b"/()"), encoded(name, b"")))
    }

    fn content(&self, name: &str, document: &Document) -> Value {
        let text = |text: &str| json!({"stringValue": text});
        let mut fields = json!({
            "Signed": {"bytesValue": BASE64_STANDARD.encode(&document.signed)},
            "Signature": text(&document.signature),
            "Cert": text(&document.certificate),
            "Chain": text(&document.chain),
            "Object": value(&document.object),
            "Name": text(name),
        });
        if let Some(fields) = fields.as_object_mut() {
            fields.remove(&self.key);
        }
        json!({"fields": fields})
    }

    fn refused(&self, what: &str, answer: &Answer) -> Error {
        let remedy = format!(
            "see that the database of {} exists, and grant the agent's identity roles/datastore.user there",
            self.collection
        );
        self.server.refused(what, answer, remedy)
    }
}

fn value(of: &Value) -> Value {
    match of {
        Value::Null => json!({"nullValue": null}),
        Value::Bool(value) => json!({"booleanValue": value}),
        Value::Number(number) if number.is_i64() => json!({"integerValue": number.to_string()}),
        Value::Number(number) => json!({"doubleValue": number}),
        Value::String(value) => json!({"stringValue": value}),
        Value::Array(values) => {
            json!({"arrayValue": {"values": values.iter().map(value).collect::<Vec<_>>()}})
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, of)| (name.clone(), value(of)));
            json!({"mapValue": {"fields": fields.collect::<Map<_, _>>()}})
        }
    }
}

fn document(read: &Value) -> Document {
    let field = |name: &str, kind: &str| {
        let field = read.get("fields").and_then(|fields| fields.get(name)).and_then(|field| field.get(kind));
        field.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Document {
        signed: BASE64_STANDARD.decode(field("Signed", "bytesValue")).unwrap_or_default(),
        signature: field("Signature", "stringValue"),
        certificate: field("Cert", "stringValue"),
        chain: field("Chain", "stringValue"),
        object: Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_has_its_type() {
        let of = json!({"a": [1, 1.5, true, null, ""], "b": {}});
        let typed = json!({"mapValue": {"fields": {
            "a": {"arrayValue": {"values": [{"integerValue": "1"}, {"doubleValue": 1.5}, {"booleanValue": true},
                {"nullValue": null}, {"stringValue": ""}]}},
            "b": {"mapValue": {"fields": {}}}}}});
        assert_eq!(value(&of), typed);
    }
}
