//! The images that one run's signatures are about, each looked up once, however many signatures it gets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use oci_client::manifest::OciDescriptor;
use tokio::sync::OnceCell;

use super::backend;
use crate::artifact::image::Image;
use crate::client::registry::{self, Session};
use crate::storage::Error;

/// Looks images up.
pub(super) struct Subjects {
    pub(super) session: Arc<Session>,
    known: Mutex<HashMap<Image, Arc<OnceCell<OciDescriptor>>>>,
}

impl Subjects {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, known: Mutex::default() }
    }

    /// The manifest of `image`, as others refer to it; an error when it is in no registry.
    pub(super) async fn described(&self, image: &Image) -> Result<OciDescriptor, Error> {
        let cell = Arc::clone(
            self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(image.clone()).or_default(),
        );
        let described = cell.get_or_try_init(|| async {
            let found = self.session.described(image).await.map_err(backend)?;
            found.ok_or_else(|| backend(registry::Error::NoImage { image: image.clone() }))
        });
        described.await.cloned()
    }
}
