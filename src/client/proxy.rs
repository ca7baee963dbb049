//! The proxies that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in capitals or
//! not), as curl, Go and the HTTP library read them, with one difference from the library.
//!
//! Guarantee: this machine is never asked for through a proxy, which could not reach it. cosign and every other Go
//! program has it so; without it a registry on loopback cannot be used where a proxy is set.

use reqwest::{NoProxy, Proxy};

const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// Those of the process.
pub(super) fn of_environment() -> Vec<Proxy> {
    // What the library would do by itself, so the names are as well known as PATH and no setting of Hallmark's own.
    proxies(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
}

fn proxies(variable: impl Fn(&str) -> Option<String>) -> Vec<Proxy> {
    let set = |name: &str| {
        let value = variable(&name.to_lowercase()).or_else(|| variable(name));
        value.filter(|value| !value.trim().is_empty())
    };
    let direct = format!("{},{THIS_MACHINE}", set("NO_PROXY").unwrap_or_default());
    // What cannot be read as an address is left out, as the library does.
    let named = [
        set("HTTP_PROXY").and_then(|address| Proxy::http(address).ok()),
        set("HTTPS_PROXY").and_then(|address| Proxy::https(address).ok()),
        set("ALL_PROXY").and_then(|address| Proxy::all(address).ok()),
    ];
    named.into_iter().flatten().map(|proxy| proxy.no_proxy(NoProxy::from_string(&direct))).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request with its own name; yields its address and the request's first line.
    async fn server() -> (String, impl Future<Output = String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = connection.read(&mut request).await.unwrap();
            connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            request.lines().next().unwrap().to_owned()
        };
        (address, served)
    }

    /// The first line of what arrives at a server when `url` is asked for with these variables.
    async fn asked(url: &str, served: impl Future<Output = String>, variables: &[(&str, &str)]) -> String {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let builder = reqwest::Client::builder().no_proxy();
        let client =
            proxies(lookup).into_iter().fold(builder, reqwest::ClientBuilder::proxy).build().unwrap();
        let (line, answer) = tokio::join!(served, client.get(url).send());
        answer.unwrap();
        line
    }

    #[tokio::test]
    async fn this_machine_is_reached_without_a_proxy() {
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
            let (address, served) = server().await;
            let line = asked(&format!("http://{address}/v2/"), served, &[(name, "http://192.0.2.1:1")]).await;
            assert_eq!(line, "GET /v2/ HTTP/1.1", "{name}");
        }
    }

    #[tokio::test]
    async fn other_machines_are_reached_through_the_proxy_that_is_named() {
        for (name, scheme) in [("HTTP_PROXY", "http://"), ("http_proxy", ""), ("all_proxy", "http://")] {
            let (address, served) = server().await;
            let proxy = format!("{scheme}{address}");
            let line =
                asked("http://registry.example/v2/", served, &[(name, &proxy), ("NO_PROXY", "other")]).await;
            assert_eq!(line, "GET http://registry.example/v2/ HTTP/1.1", "{name}");
        }
    }

    #[tokio::test]
    async fn what_no_proxy_names_is_reached_directly() {
        // By an address of this machine that is not among those that are always reached directly.
        let (address, served) = server().await;
        let url = format!("http://[::ffff:127.0.0.1]:{}/v2/", address.rsplit_once(':').unwrap().1);
        let variables = [("HTTP_PROXY", "192.0.2.1:1"), ("no_proxy", "other.example,::ffff:127.0.0.1")];
        assert_eq!(asked(&url, served, &variables).await, "GET /v2/ HTTP/1.1");
    }

    #[test]
    fn variables_that_are_empty_or_no_address_name_no_proxy() {
        for value in ["", "  ", "http://"] {
            assert!(proxies(|_| Some(value.to_owned())).is_empty(), "{value:?}");
        }
        assert!(proxies(|_| None).is_empty());
    }
}
