//! Documents as Chains' library writes them to `MongoDB`. Pure.
//!
//! Its rules: fields keep the case of their names; the one that is the key becomes `_id`, and stands under its own name only
//! where that is spelt otherwise in the collection's URL; every number of a statement is a double, as Go reads JSON.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document as Fields, RawDocumentBuf, doc};
use serde_json::Value;

use crate::client::document::Document;

/// The key of every document.
pub(super) const ID: &str = "_id";

/// What is asked for of a document that is there; its statement stands in it twice, and once is enough.
pub(super) fn wanted() -> Fields {
    doc! {"Signed": 1, "Signature": 1, "Cert": 1, "Chain": 1}
}

/// The document `name`, as it is written; `key` is the field of the URL that names documents.
pub(super) fn content(
    name: &str,
    key: &str,
    document: &Document,
) -> mongodb::bson::error::Result<RawDocumentBuf> {
    let signed = Binary { subtype: BinarySubtype::Generic, bytes: document.signed.clone() };
    let mut fields = doc! {
        ID: name,
        "Signed": signed,
        "Signature": &document.signature,
        "Cert": &document.certificate,
        "Chain": &document.chain,
        "Object": value(&document.object),
        "Name": name,
    };
    fields.remove(key);
    RawDocumentBuf::try_from(&fields)
}

/// A document that is there; one of somebody else has no content.
pub(super) fn document(fields: &Fields) -> Document {
    let text = |name: &str| fields.get_str(name).unwrap_or_default().to_owned();
    Document {
        signed: fields.get_binary_generic("Signed").cloned().unwrap_or_default(),
        signature: text("Signature"),
        certificate: text("Cert"),
        chain: text("Chain"),
        object: Value::Null,
    }
}

fn value(of: &Value) -> Bson {
    match of {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::Number(number) => number.as_f64().map_or(Bson::Null, Bson::Double),
        Value::String(value) => Bson::String(value.clone()),
        Value::Array(values) => Bson::Array(values.iter().map(value).collect()),
        Value::Object(fields) => {
            Bson::Document(fields.iter().map(|(name, of)| (name.clone(), value(of))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(key: &str) -> Fields {
        let document = Document {
            signed: b"{}".to_vec(),
            signature: "c2ln".to_owned(),
            object: json!({"a": [1, 1.5, true, null, "", "x"], "b.c": {}}),
            ..Document::default()
        };
        Fields::try_from(content("name", key, &document).unwrap().as_ref()).unwrap()
    }

    #[test]
    fn fields_have_the_names_and_types_of_chains() {
        let signed = Binary { subtype: BinarySubtype::Generic, bytes: b"{}".to_vec() };
        let expected = doc! {"_id": "name", "Signed": signed, "Signature": "c2ln", "Cert": "", "Chain": "",
        "Object": {"a": [1.0, 1.5, true, Bson::Null, "", "x"], "b.c": {}}, "Name": "name"};
        assert_eq!(written("name"), expected);
        let read = document(&written("name"));
        assert_eq!((read.signed.as_slice(), read.signature.as_str()), (&b"{}"[..], "c2ln"));
    }

    #[test]
    fn a_key_that_is_spelt_as_the_field_takes_its_place() {
        assert!(!written("Name").contains_key("Name"));
        assert_eq!(written("Name").get_str("_id").unwrap(), "name");
    }

    #[test]
    fn a_document_of_somebody_else_is_one_without_content() {
        for fields in [doc! {}, doc! {"Signed": "text", "Signature": 7}, doc! {"signed": 1}] {
            assert_eq!(document(&fields), Document::default());
        }
    }
}
