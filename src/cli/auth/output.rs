//! A pull token as text for people, as JSON, as variables, and as a Kubernetes Secret that holds this registry alone.
//! Pure: it writes the password into what it returns, and nowhere else.

use clap::{Args, ValueEnum};
use serde_json::json;
use zeroize::Zeroizing;

use super::pull_token::PullToken;

/// How a pull token is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A `docker login` that can be pasted whole; the password is in no argument.
    Text,
    /// One object.
    Json,
    /// Variables of a shell.
    Env,
    /// A Secret of type kubernetes.io/dockerconfigjson.
    K8sSecret,
}

/// What a Kubernetes Secret is called.
#[derive(Debug, Args)]
pub(super) struct SecretName {
    /// With --output k8s-secret: its namespace.
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,

    /// With --output k8s-secret: its name.
    #[arg(long, default_value = "regcred", value_name = "NAME")]
    pub(super) secret_name: String,
}

impl Form {
    pub(super) fn written(self, made: &PullToken, secret: &SecretName) -> Zeroizing<String> {
        let (user, password) =
            (&made.login.username, Zeroizing::new(made.login.password.expose_text().into_owned()));
        let registry = &made.registry;
        Zeroizing::new(match self {
            Self::Text => format!(
                "# This token ends at {}. To log in with it:\n\
                 docker login {} --username {} --password-stdin <<'TOKEN'\n{}\nTOKEN\n",
                made.expires_at,
                in_shell(registry),
                in_shell(user),
                *password,
            ),
            Self::Json => {
                let value = json!({"registry": registry, "username": user, "password": *password,
                    "expiresAt": made.expires_at.to_string()});
                format!("{value:#}\n")
            }
            Self::Env => format!(
                "HALLMARK_REGISTRY={}\nHALLMARK_REGISTRY_USERNAME={}\nHALLMARK_REGISTRY_PASSWORD={}\n",
                in_shell(registry),
                in_shell(user),
                in_shell(&password),
            ),
            Self::K8sSecret => manifest(made, secret),
        })
    }
}

/// JSON is YAML.
fn manifest(made: &PullToken, secret: &SecretName) -> String {
    let config = json!({"auths": {&made.registry: {"auth": *made.login.encoded()}}});
    let mut metadata = json!({"name": secret.secret_name});
    if let (Some(namespace), Some(metadata)) = (&secret.namespace, metadata.as_object_mut()) {
        metadata.insert("namespace".to_owned(), namespace.as_str().into());
    }
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": metadata, "stringData": {".dockerconfigjson": config.to_string()}});
    format!("{secret:#}\n")
}

/// As one word of a shell, whatever it holds.
fn in_shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::credential::Login;

    fn written(form: Form) -> String {
        let login = Login { username: "org/id".into(), password: "a.b.c".into() };
        let made = PullToken { registry: "cgr.dev".into(), login, expires_at: Timestamp::UNIX_EPOCH };
        let secret = SecretName { namespace: Some("team".into()), secret_name: "regcred".into() };
        form.written(&made, &secret).to_string()
    }

    #[test]
    fn the_login_can_be_pasted_and_has_its_password_on_a_line_of_its_own() {
        let text = written(Form::Text);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["docker login cgr.dev --username org/id --password-stdin <<'TOKEN'", "a.b.c", "TOKEN"]
        );
    }

    #[test]
    fn a_secret_holds_this_registry_alone() {
        let secret: Value = serde_json::from_str(&written(Form::K8sSecret)).unwrap();
        assert_eq!(
            (&secret["metadata"]["name"], &secret["metadata"]["namespace"]),
            (&json!("regcred"), &json!("team"))
        );
        let config: Value =
            serde_json::from_str(secret["stringData"][".dockerconfigjson"].as_str().unwrap()).unwrap();
        assert_eq!(config, json!({"auths": {"cgr.dev": {"auth": "b3JnL2lkOmEuYi5j"}}}));
    }

    #[test]
    fn words_of_a_shell_stay_words() {
        assert_eq!(in_shell("org/id"), "org/id");
        assert_eq!(in_shell("a b'$(x)"), r"'a b'\''$(x)'");
        assert!(written(Form::Env).contains("HALLMARK_REGISTRY_PASSWORD=a.b.c\n"));
        assert_eq!(serde_json::from_str::<Value>(&written(Form::Json)).unwrap()["username"], "org/id");
    }
}
