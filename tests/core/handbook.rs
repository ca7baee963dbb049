//! The commands of README and handbook as a reader types them, one after the other, on a cluster of their own. Only names in
//! capital letters and `registry.example`, which stand for what is the reader's own, are replaced.

use crate::installed::{marked, start_agent};
use crate::support::{
    Access, Authentication, Cluster, Completion, Crane, Distribution, Finished, PushedImage, Reader,
    TokenUser, block,
};

/// A reader whose runs are in the namespace of the examples.
struct Story {
    cluster: Cluster,
    reader: Reader,
    access: Access,
    _registry: Distribution,
}

impl Story {
    async fn begin() -> Self {
        let user = TokenUser::new("builder", "the builder's password").push("team/").pull("team/");
        let registry = Distribution::start(Authentication::Token(vec![user.clone()])).await;
        let (cluster, access) = (Cluster::start().await, registry.access(Some(user.login())));
        let reader = Reader::of(&cluster, "ci", Some(&access)).await;
        let accounts = "kubectl create namespace ci; kubectl create serviceaccount default\n\
             kubectl create serviceaccount builder; kubectl create namespace team-a";
        reader.types(accounts).await.succeeded();
        Self { cluster, reader, access, _registry: registry }
    }

    /// A block with what is the reader's own.
    fn copied(&self, page: &str, containing: &str) -> String {
        let (user, password) = self.access.login.as_ref().unwrap();
        let (user, password) = (format!("={user}"), format!("=\"{password}\""));
        let own = [
            ("=USER", user.as_str()),
            ("=PASSWORD", &password),
            ("REGISTRY", &self.access.host),
            ("RUN", "build"),
            ("NAMESPACE", "ci"),
        ];
        let mut script = block(page, containing);
        for (name, own) in own {
            script = script.replace(name, own);
        }
        script
    }

    async fn types(&self, page: &str, containing: &str) -> Finished {
        self.reader.types(&self.copied(page, containing)).await.succeeded()
    }

    /// The same; what is asked may be in any state, but the question is one that is understood.
    async fn asks(&self, page: &str, containing: &str) -> String {
        // Without `-e` every line is run.
        let asked = self.reader.types(&format!("set +e\n{}", self.copied(page, containing))).await;
        assert!(asked.code != Some(2) && !asked.stderr.contains("Usage:"), "{}", asked.stderr);
        format!("{}{}", asked.stdout, asked.stderr)
    }

    /// A completed run with an image of its own.
    async fn build(&self, name: &str) -> PushedImage {
        let image = Crane::new(&self.access).push_random_image("team/app").await;
        let completion = Completion::success().image("", &image.repository, &image.digest);
        self.cluster.completed_task_run("ci", name, &completion).await;
        image
    }
}

/// What `verify`, `tree` and the others are told of the example image.
fn of(image: &PushedImage, script: &str) -> String {
    script.replace("registry.example/team/app:v1", &image.by_digest()).replace("IMAGE", &image.by_digest())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_lead_from_nothing_to_a_verified_signature() {
    let story = Story::begin().await;
    let (readme, reader) = ("README.md", &story.reader);
    story.types(readme, "kubectl apply -f release.yaml").await;
    story.types(readme, "kubectl patch configmap chains-config").await;
    story.types(readme, "kubectl create secret docker-registry push").await;
    let keys = tempfile::tempdir().unwrap();
    let agent = start_agent(&story.cluster, keys.path(), story.access.ca.as_deref()).await;
    let image = story.build("build").await;
    let run = marked(&story.cluster, "ci", "taskrun/build").await;
    assert_eq!(run["metadata"]["annotations"]["chains.tekton.dev/signed"], "true");
    reader.types(&of(&image, &block(readme, "cosign verify --key"))).await.succeeded();

    // Without a cluster, and about credentials.
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/p256.pem");
    std::fs::copy(key, reader.path("x509.pem")).unwrap();
    story.types(readme, "hallmark sign -f - --key x509.pem").await;
    let files = "kubectl get taskrun build -o yaml > run.yaml; kubectl get secret,serviceaccount -o yaml > secrets.yaml";
    reader.types(files).await.succeeded();
    let explained = story.types(readme, "hallmark creds explain").await;
    // Two command lines, and both a pull and a push each.
    assert_eq!(explained.stdout.matches("Accepted: ").count(), 4, "{}", explained.stdout);
    story.types("docs/authentication.md", "hallmark creds explain").await;

    // Verifying, by whom it should be and by a policy.
    let key = std::fs::read_to_string(reader.path("cosign.pub")).unwrap().replace('\n', "\n          ");
    reader.writes(
        "policy.yaml",
        &format!(
            "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata:\n  name: signed\nspec:\n  \
             images:\n    - glob: \"**\"\n  authorities:\n    - key:\n        data: |\n          {key}\n"
        ),
    );
    let commands = of(&image, &block("docs/verify.md", "--type slsaprovenance")).replace("\\\n", " ");
    // Whoever wants a trust root wants Fulcio, which the group keyless has.
    let here: Vec<&str> = commands.lines().filter(|line| !line.contains("--trusted-root")).collect();
    assert_eq!(here.len(), 3, "{commands}");
    reader.types(&here.join("\n")).await.succeeded();
    reader.types(&of(&image, &block("docs/verify.md", "hallmark policy test"))).await.succeeded();

    // Operating.
    let said = story.asks("docs/operating.md", "hallmark explain RUN").await;
    assert!(said.contains("TaskRun ci/build") && said.contains("Replicas: 1 at work"), "{said}");
    story.asks("docs/troubleshooting.md", "hallmark explain RUN").await;
    let said = story.asks("docs/operating.md", "hallmark retry RUN").await;
    assert!(said.contains("is signed") && said.contains("its mark is off"), "{said}");
    drop(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_handbook_change_an_installation_as_they_say() {
    let story = Story::begin().await;
    let reader = &story.reader;
    let install = "docs/install.md";
    story.types(install, "hack/release --image").await;
    story.types(install, "hallmark keys generate").await;
    reader.types("kubectl delete secret signing-secrets -n tekton-chains").await.succeeded();
    for command in ["> cosign.pub", "hallmark keys public --secret", "> new.pub", "--retire"] {
        story.types("docs/signers.md", command).await;
    }
    assert!(reader.path("cosign.pub").exists() && reader.path("new.pub").exists());
    story.types("docs/keys.md", "cosign generate-key-pair").await;
    story.types("docs/operating.md", "OTEL_EXPORTER_OTLP_ENDPOINT").await;
    story.types(install, "signing.finalizers").await;
    story.types(install, "/spec/strategy").await;

    let authentication = "docs/authentication.md";
    story.types(authentication, "kubectl create secret docker-registry push").await;
    reader.types("kubectl delete secret push").await.succeeded();
    story.types(authentication, "--from-file=.dockerconfigjson=config.json").await;
    reader.writes("registries.toml", "[registries.\"ghcr.io.\"]\nusername = \"robot\"\npassword = \"x\"\n");
    story.types(authentication, "hallmark config check --registries").await;

    let keyless = "docs/keyless.md";
    story.types(keyless, "signers.x509.fulcio.enabled").await;
    story.types(keyless, "kubectl get --raw /.well-known/openid-configuration").await;
    story.types(keyless, "kubectl create clusterrolebinding issuer-discovery").await;
    for overlay in ["keyless-eks", "private-fulcio", "spiffe-csi", "spiffe-hostpath"] {
        story.types(keyless, &format!("kubectl apply -k config/overlays/{overlay}")).await;
        story.types(keyless, "--force-conflicts").await;
    }
    reader
        .types(&format!("kubectl apply -f - <<'EOF'\n{}EOF", block(keyless, "name: own-token")))
        .await
        .succeeded();

    reader.writes("trusted_root.json", "{}");
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/policies/gcr-is-signed.yaml");
    std::fs::copy(policy, reader.path("policy.yaml")).unwrap();
    // No webhook runs here that could be asked; the group webhook has one.
    let fails_open =
        "kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration hallmark-webhook";
    let admission = block("docs/admission.md", "kubectl apply -k config/overlays/webhook");
    let (overlay, rest) = admission.split_once('\n').unwrap();
    reader.types(&format!("{overlay}\n{fails_open}\n{rest}")).await.succeeded();
    let regcreds =
        block("docs/admission.md", "regcreds").replace("...", "--docker-username=u --docker-password=p");
    reader.types(&regcreds).await.succeeded();
    story.types("docs/admission.md", "kubectl create configmap trusted-root").await;

    let pages = block("docs/troubleshooting.md", "hallmark completions bash");
    let folder = reader.path("").display().to_string();
    let pages =
        pages.replace("/etc/bash_completion.d/", &folder).replace("/usr/local", folder.trim_end_matches('/'));
    reader.types(&pages).await.succeeded();
    assert!(reader.path("share/man/man1/hallmark-doctor.1").exists() && reader.path("hallmark").exists());
}
