//! A provider of `providers.toml` as a credential of the agent for runs (credentials specification §1.2, source 10): a real
//! registry accepts what the token service grants for the agent's own token.

use std::sync::Arc;

use futures::FutureExt as _;
use hallmark::artifact::image::Repository;
use hallmark::client::exchange::provider::Providers;
use hallmark::client::registry::{Registry, Session};
use hallmark::credential::agent::{Agent, Lent};
use hallmark::credential::exchange::sources;
use hallmark::credential::registry_config::{Proxies, RegistryConfig};
use hallmark::credential::{Keychain, Operation, Target};

use crate::support::Known;
use crate::world::{Running, World};

struct Runs<'a> {
    world: &'a World,
    config: Arc<RegistryConfig>,
    lent: Arc<Lent>,
}

impl<'a> Runs<'a> {
    /// What the agent lends by a provider that assumes `identity`.
    fn of(world: &'a World, identity: &str) -> Self {
        let authorities = [Some(world.sts.ca()), world.registry.access(None).ca];
        let pem: String =
            authorities.into_iter().flatten().map(|ca| std::fs::read_to_string(ca).unwrap()).collect();
        let host = world.registry.host();
        let tables = format!(
            "[registries.\".\"]\nca-certs = '''\n{pem}'''\n[registries.\"localhost.\"]\nca-certs = '''\n{pem}'''\n"
        );
        let read = RegistryConfig::parse("r.toml", &tables, &Proxies::none(), jiff::Timestamp::now());
        let config = Arc::new(read.config.unwrap());
        let text = format!(
            "[providers.chainguard]\nkind = \"chainguard\"\nissuer = \"{}\"\nregistries = [\"{host}\"]\n\
             subject-audience = \"issuer.enforce.dev\"\nagent-identity = \"{identity}\"\n",
            world.sts.url
        );
        let providers = Providers::parse(&text).unwrap();
        let fetchers = sources(&providers, &world.token_file(), &config);
        let lent = Arc::new(Lent { fetchers, ..Lent::default() });
        Self { world, config, lent }
    }

    fn target(&self) -> Target {
        let repository = Repository::parse(&format!("{}/team/app", self.world.registry.host())).unwrap();
        Target { repository, operation: Operation::Pull }
    }

    /// What the registry says to a run that has nothing of its own.
    async fn report(&self) -> String {
        let agent = Agent { clouds: Arc::clone(&self.lent), ..Agent::default() };
        let keychain = Arc::new(Keychain::default().with_agent(agent));
        let keychain = async move { Ok(keychain) }.boxed().shared();
        let session =
            Session::new(&Registry::new().unwrap(), "ci", false, keychain).with_config(&self.config);
        session.probe(&self.target(), "none").await.unwrap().report.to_string()
    }
}

#[tokio::test]
async fn what_the_agent_is_granted_at_a_token_service_serves_runs_and_one_exchange_serves_many() {
    let world = &Running::shared().await.world;
    let identity = "org/agent-for-runs";
    world.sts.knows(identity, Known::account(&world.cluster, "pull-secret-updater", "controller", 3600));
    let runs = Runs::of(world, identity);
    for _ in 0..3 {
        let report = runs.report().await;
        assert!(report.contains("controller.sts:chainguard"), "{report}");
        // The registry let it in: there is no such tag.
        assert!(report.contains("404"), "{report}");
    }
    assert_eq!(world.sts.count(identity), 1);
}

#[tokio::test]
async fn what_a_token_service_denies_is_told_in_the_report() {
    let world = &Running::shared().await.world;
    let report = Runs::of(world, "org/unknown-to-all").report().await;
    assert!(report.contains("controller.sts:chainguard: CloudDenied: "), "{report}");
    assert!(report.contains("knows no identity \"org/unknown-to-all\""), "{report}");
}
