//! `DynamoDB`, by its JSON protocol.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Document;
use crate::client::bucket::{Replace, Written};
use crate::client::cloud::aws::Keys;
use crate::client::cloud::aws::sign::{Request, Scope, sign};
use crate::client::store::{Answer, Error, Server};
use crate::credential::Redacted;

/// A table.
#[derive(Debug)]
pub struct DynamoDb {
    server: Server,
    table: String,
    /// The attribute that its items are known by.
    key: String,
    region: String,
}

impl DynamoDb {
    /// The table of this name in `region` at `server`, whose partition key is `key`.
    pub fn new(server: Server, table: String, key: String, region: String) -> Self {
        Self { server, table, key, region }
    }

    /// Where it is.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The document `name`, if there is one.
    pub async fn read(&self, keys: &Keys, name: &str, now: Timestamp) -> Result<Option<Document>, Error> {
        let what = format!("read item {name} of table {}", self.table);
        let content =
            json!({"TableName": self.table, "Key": {&self.key: {"S": name}}, "ConsistentRead": true});
        let answer = self.ask(&what, "GetItem", &content, keys, now).await?;
        if answer.status.as_u16() != 200 {
            return Err(self.refused(&what, &answer));
        }
        let answer: Value = serde_json::from_slice(&answer.body).map_err(|_| self.server.malformed(&what))?;
        Ok(answer.get("Item").map(document))
    }

    /// Writes the document `name`.
    pub async fn write(
        &self,
        keys: &Keys,
        name: &str,
        document: &Document,
        replace: Replace,
        now: Timestamp,
    ) -> Result<Written, Error> {
        let what = format!("write item {name} of table {}", self.table);
        let mut content = json!({"TableName": self.table, "Item": self.item(name, document)});
        if let (Replace::Nothing, Some(content)) = (replace, content.as_object_mut()) {
            content.insert("ConditionExpression".to_owned(), json!("attribute_not_exists(#key)"));
            content.insert("ExpressionAttributeNames".to_owned(), json!({"#key": self.key}));
        }
        let answer = self.ask(&what, "PutItem", &content, keys, now).await?;
        match answer.status.as_u16() {
            200 => Ok(Written::Now),
            400 if answer.says("ConditionalCheckFailedException") => Ok(Written::Before),
            _ => Err(self.refused(&what, &answer)),
        }
    }

    fn item(&self, name: &str, document: &Document) -> Value {
        let mut item = json!({
            "Signed": {"B": BASE64_STANDARD.encode(&document.signed)},
            "Signature": text(&document.signature),
            "Cert": text(&document.certificate),
            "Chain": text(&document.chain),
            "Object": attribute(&document.object),
            "Name": text(name),
        });
        if let Some(item) = item.as_object_mut() {
            item.insert(self.key.clone(), text(name));
        }
        item
    }

    async fn ask(
        &self,
        what: &str,
        operation: &str,
        content: &Value,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Answer, Error> {
        let (url, body) = (self.server.at("/"), content.to_string());
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
        let scope = Scope { region: &self.region, service: "dynamodb" };
        let request = Request { method: "POST", url: &url, headers: &headers, body: body.as_bytes() };
        let signed = sign(&request, keys, scope, now);
        let mut request = self.server.client().post(url).header(AUTHORIZATION, &*signed.authorization);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in &signed.headers {
            request = request.header(*name, &**value);
        }
        let secrets: Vec<&Redacted> =
            [Some(&keys.secret), keys.token.as_ref()].into_iter().flatten().collect();
        self.server.ask(what, request.body(body), &secrets).await
    }

    fn refused(&self, what: &str, answer: &Answer) -> Error {
        let remedy = if answer.says("ValidationException") {
            format!(
                "see that {} is the partition key of table {} and of type S, and that the statement is below 400 KB",
                self.key, self.table
            )
        } else {
            format!(
                "see that table {} is in region {} and allow this identity dynamodb:GetItem and dynamodb:PutItem on it",
                self.table, self.region
            )
        };
        self.server.refused(what, answer, remedy)
    }
}

/// No text is a null there, as the library of Chains writes it.
fn text(text: &str) -> Value {
    if text.is_empty() { json!({"NULL": true}) } else { json!({"S": text}) }
}

fn attribute(value: &Value) -> Value {
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(value) => json!({"BOOL": value}),
        Value::Number(number) => json!({"N": number.to_string()}),
        Value::String(value) => text(value),
        Value::Array(values) => json!({"L": values.iter().map(attribute).collect::<Vec<_>>()}),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), attribute(value)));
            json!({"M": fields.collect::<Map<_, _>>()})
        }
    }
}

fn document(item: &Value) -> Document {
    let field = |name: &str, kind: &str| {
        item.get(name)
            .and_then(|field| field.get(kind))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Document {
        signed: BASE64_STANDARD.decode(field("Signed", "B")).unwrap_or_default(),
        signature: field("Signature", "S"),
        certificate: field("Cert", "S"),
        chain: field("Chain", "S"),
        object: Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_has_its_attribute() {
        let value = json!({"a": [1, 1.5, true, null, "", "x"], "b": {}});
        let attributes = json!({"M": {
            "a": {"L": [{"N": "1"}, {"N": "1.5"}, {"BOOL": true}, {"NULL": true}, {"NULL": true}, {"S": "x"}]},
            "b": {"M": {}}}});
        assert_eq!(attribute(&value), attributes);
    }

    #[test]
    fn an_item_of_somebody_else_is_a_document_without_content() {
        for item in [json!({}), json!({"Signed": {"S": "text"}}), json!([]), json!({"Signed": {"B": "!"}})] {
            assert_eq!(document(&item), Document::default(), "{item}");
        }
    }
}
