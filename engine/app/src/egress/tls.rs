//! Whom to trust, and who one is, as rustls wants to be told.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::EgressError;
use crate::config::connection::{Tls, private_key};

/// TLS 1.2 and 1.3 with these authorities. The client's key is read once, here: another comes with another configuration.
pub(super) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, EgressError> {
    let mut roots = RootCertStore::empty();
    if tls.public_roots {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in &tls.roots {
        roots.add(root.clone()).map_err(|_| EgressError::Tls("one of the authorities has a certificate that cannot be read"))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| EgressError::Tls("no version of the protocol is left"))?
        .with_root_certificates(roots);
    let Some(identity) = &tls.identity else { return Ok(Arc::new(config.with_no_client_auth())) };
    let key = private_key(&identity.key).map_err(EgressError::Tls)?;
    let config = config.with_client_auth_cert(identity.certificates.clone(), key);
    config.map(Arc::new).map_err(|_| EgressError::Tls("the certificate and its key do not belong together"))
}
