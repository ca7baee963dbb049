//! What the demo stands on: a registry with two users, an image in it, and the files that `hallmark sign` would be
//! given for the run which built that image.
//!
//! Users, passwords and the key are new at every start. Passwords and the private key lie in files of mode 0600 and
//! nowhere else; nothing here prints them.

mod content;
mod directory;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::Zeroizing;

use super::registry::{EmbeddedRegistry, Right, User};
use crate::artifact::image::{Image, Repository};
use crate::cli::manifests::{ManifestError, Manifests};
use crate::client;
use crate::client::registry::{Registry, Session};
use crate::credential::named::RunReferences;
use crate::credential::objects::Objects;
use crate::signature;
use crate::signature::key::Key;
use crate::tekton::completed::{CompletedRun, NotCompleted};
use content::{Access, DemoImage};
pub(super) use directory::DirectoryError;
use directory::{Directory, Readers};

/// The completed run.
pub(super) const RUN: &str = "run.yaml";
/// Its service account and Secrets.
pub(super) const ACCOUNT: &str = "account.yaml";
/// The private key.
pub(super) const PRIVATE_KEY: &str = "x509.pem";
/// The public key, as `cosign verify --key` takes it.
pub(super) const PUBLIC_KEY: &str = "cosign.pub";
/// `DOCKER_CONFIG` for a tool that looks at the registry.
pub(super) const DOCKER: &str = "docker";

/// A user of the registry. No `Debug`: there is nothing in it to print but a name.
pub(super) struct Account {
    /// Its name.
    pub name: &'static str,
    /// Its password.
    pub password: Zeroizing<String>,
}

/// The registry, the image and the directory.
pub(super) struct World {
    directory: Directory,
    registry: EmbeddedRegistry,
    reader: Account,
    image: Image,
}

/// Why there is no world to show anything in.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorldError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("cannot start the registry on 127.0.0.1")]
    Registry(#[source] io::Error),
    #[error("the system gives no random bytes")]
    Randomness(#[from] Unspecified),
    #[error("cannot make a key")]
    Key(#[from] signature::key::KeyError),
    #[error("the registry's name makes no image reference")]
    Name(#[from] crate::artifact::image::MalformedReference),
    #[error(transparent)]
    Manifests(#[from] ManifestError),
    #[error(transparent)]
    NotCompleted(#[from] NotCompleted),
    #[error("{RUN} holds no run")]
    NoRun,
    #[error("cannot push the image")]
    Push(#[from] client::registry::Error),
}

impl World {
    /// Starts the registry, pushes the image, writes the files.
    pub(super) async fn build(path: &Path) -> Result<Self, WorldError> {
        let directory = Directory::claim(path)?;
        let (reader, builder) = (Account::new("reader")?, Account::new("builder")?);
        let users = vec![reader.user(Right::Pull), builder.user(Right::Push)];
        let registry = EmbeddedRegistry::start(users).await.map_err(WorldError::Registry)?;

        let built = DemoImage::small();
        let repository = Repository::parse(&format!("{}/app", registry.address()))?;
        let image = Image { repository, digest: built.digest() };
        let world = Self { directory, registry, reader, image };
        world.write(&builder)?;
        world.push(&built).await?;
        Ok(world)
    }

    /// Where the registry listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.registry.address()
    }

    /// The user that may only pull.
    pub(super) fn reader(&self) -> &Account {
        &self.reader
    }

    /// What the run built.
    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// One of the files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    /// The files of the Secret `signing-secrets`, were this a cluster.
    pub(super) fn key_files(&self) -> Result<BTreeMap<String, Vec<u8>>, WorldError> {
        Ok(BTreeMap::from([(PRIVATE_KEY.to_owned(), self.directory.read(PRIVATE_KEY)?)]))
    }

    /// The public key, read back from its file.
    pub(super) fn public_key(&self) -> Result<String, WorldError> {
        Ok(String::from_utf8_lossy(&self.directory.read(PUBLIC_KEY)?).into_owned())
    }

    /// The run and what it refers to, read from the files as `hallmark sign -f` reads them.
    pub(super) fn run_and_objects(&self) -> Result<(CompletedRun, Objects), WorldError> {
        let manifests = Manifests::read(&[self.file(RUN), self.file(ACCOUNT)])?;
        let (run, _) = manifests.runs()?.pop().ok_or(WorldError::NoRun)?;
        Ok((CompletedRun::prove(run, Vec::new())?, manifests.objects()?))
    }

    /// Ends the registry; the files stay.
    pub(super) async fn stop(self) {
        self.registry.stop().await;
    }

    fn write(&self, builder: &Account) -> Result<(), WorldError> {
        let pem = private_key()?;
        let key = Key::from_pem(PRIVATE_KEY, pem.as_bytes())?;
        let access = |account| Access { address: self.address(), account };
        let account = content::account(&access(&self.reader), &access(builder));
        let run = content::run(&self.image, jiff::Timestamp::now());

        self.directory.write(RUN, run.as_bytes(), Readers::Everybody)?;
        self.directory.write(ACCOUNT, account.as_bytes(), Readers::Owner)?;
        self.directory.write(PRIVATE_KEY, pem.as_bytes(), Readers::Owner)?;
        self.directory.write(PUBLIC_KEY, key.public_key().to_pem().as_bytes(), Readers::Everybody)?;
        let docker = access(&self.reader).docker_config();
        Ok(self.directory.write(&format!("{DOCKER}/config.json"), docker.as_bytes(), Readers::Owner)?)
    }

    /// As the build would have done it: with the Secret that may push.
    async fn push(&self, built: &DemoImage) -> Result<(), WorldError> {
        let (run, objects) = self.run_and_objects()?;
        let template = vec![content::PUSH_SECRET.to_owned()];
        let references = RunReferences { template, ..RunReferences::of(&run) };
        let namespace = references.namespace.clone();
        let keychain: BoxFuture<'static, _> = async move { Ok(objects.keychain(&references).into()) }.boxed();
        // A session of its own: the trial that the demo shows begins with nothing known.
        let session = Session::new(&Registry::new()?, &namespace, false, keychain.shared());
        for blob in [&built.layer, &built.config] {
            session.push_blob(&self.image.repository, blob.clone()).await?;
        }
        let manifest = built.manifest.clone();
        session.push_manifest(&self.image.repository, "1.0", OCI_IMAGE_MEDIA_TYPE, manifest).await?;
        Ok(())
    }
}

impl Account {
    fn new(name: &'static str) -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; 16]);
        rand::fill(bytes.as_mut())?;
        Ok(Self { name, password: Zeroizing::new(hex::encode(bytes.as_ref())) })
    }

    fn user(&self, right: Right) -> User {
        User::new(self.name, self.password.as_str(), right)
    }
}

/// A new ECDSA P-256 key as `x509.pem` has it: PKCS#8, not encrypted.
fn private_key() -> Result<Zeroizing<String>, Unspecified> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let der = key.to_pkcs8v1()?;
    let block = Pem::new("PRIVATE KEY", der.as_ref());
    Ok(Zeroizing::new(pem::encode_config(&block, EncodeConfig::new().set_line_ending(LineEnding::LF))))
}

#[cfg(test)]
mod tests;
