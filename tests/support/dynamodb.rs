//! DynamoDB Local, Amazon's own. It judges requests as the service does, but for their signatures.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::binary::installed_if;
use super::http_client;
use super::process::{Server, StartFailure, free_port, start};

/// A DynamoDB with the table `signatures`, whose partition key is `Name`.
pub struct DynamoDbLocal {
    _server: Server,
    /// `http://127.0.0.1:port`.
    pub url: String,
    _folder: TempDir,
}

impl DynamoDbLocal {
    /// The access key that its tables belong to.
    pub const KEY: &'static str = "AKIATABLE";

    /// Starts it; nothing where it is not installed.
    pub async fn start() -> Option<Self> {
        installed_if("dynamodb-local")?;
        Some(start(Self::attempt).await)
    }

    async fn attempt() -> Result<Self, StartFailure> {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let jars = installed_if("dynamodb-local").unwrap().display().to_string();
        let mut command = Command::new("java");
        command.arg(format!("-Djava.library.path={jars}")).args(["-cp", &format!("{jars}/*")]);
        command.arg("com.amazonaws.services.dynamodbv2.local.main.ServerRunner");
        command.args(["-inMemory", "-disableTelemetry", "-port", &port.to_string()]);
        command.current_dir(folder.path());
        let mut server = Server::spawn("dynamodb-local", &mut command, folder.path());
        let url = format!("http://127.0.0.1:{port}");
        server.ready(async || ask(&url, "ListTables", &json!({})).await.is_some()).await?;
        let key = json!([{"AttributeName": "Name", "KeyType": "HASH"}]);
        let table = json!({"TableName": "signatures", "BillingMode": "PAY_PER_REQUEST", "KeySchema": key,
            "AttributeDefinitions": [{"AttributeName": "Name", "AttributeType": "S"}]});
        ask(&url, "CreateTable", &table).await.expect("a table is made");
        Ok(Self { _server: server, url, _folder: folder })
    }

    /// Everything in the table.
    pub async fn items(&self) -> Vec<Value> {
        let found = ask(&self.url, "Scan", &json!({"TableName": "signatures"})).await.unwrap();
        let mut items = found["Items"].as_array().unwrap().clone();
        items.sort_by_key(|item| item["Name"]["S"].to_string());
        items
    }
}

/// What it answers, if that is no refusal.
async fn ask(url: &str, operation: &str, content: &Value) -> Option<Value> {
    let scope = format!("{}/20260101/eu-central-1/dynamodb/aws4_request", DynamoDbLocal::KEY);
    let request = http_client(None)
        .post(url)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        );
    let answer = request.body(content.to_string()).send().await.ok()?;
    let answer = answer.error_for_status().ok()?.text().await.ok()?;
    serde_json::from_str(&answer).ok()
}
