//! Whether a component is a plugin: which world its exports belong to, and that it imports nothing beyond that world.
//!
//! Names only; types are checked when the component is linked. Unused imports may be absent, since linkers drop them.

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::HostError;
use crate::contract::{Kind, PACKAGE, PACKAGE_VERSION};
use crate::sandbox::engine::interfaces;

/// The kind of a component.
pub(super) fn kind(path: &Path, component: &Component, engine: &Engine) -> Result<Kind, HostError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let kind = exported(path, &exports)?;
    for (import, _) in ty.imports(engine) {
        imported(path, kind, import)?;
    }
    Ok(kind)
}

/// The interfaces that a component imports, sorted.
pub(super) fn imports(component: &Component, engine: &Engine) -> Vec<String> {
    let mut imports: Vec<String> = component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect();
    imports.sort();
    imports
}

fn exported(path: &Path, exports: &[&str]) -> Result<Kind, HostError> {
    let not_a_plugin = |message: String| HostError::NotAPlugin { path: path.to_owned(), message };
    if let Some(found) = exports.iter().find(|name| is_other_version(name)) {
        return Err(other_contract(path, found));
    }
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| exports.contains(&full(kind.name()).as_str())).collect();
    if !exports.contains(&full("plugin").as_str()) {
        return Err(not_a_plugin(format!("does not export `{}`", full("plugin"))));
    }
    match kinds[..] {
        [kind] => Ok(kind),
        [] => Err(not_a_plugin(format!("exports none of `{}`", Kind::ALL.map(|kind| full(kind.name())).join("`, `")))),
        [first, second, ..] => Err(not_a_plugin(format!("is both a {first} and a {second}; a plugin is one of them"))),
    }
}

fn imported(path: &Path, kind: Kind, import: &str) -> Result<(), HostError> {
    if interfaces(kind).iter().any(|interface| full(interface) == import) {
        return Ok(());
    }
    if is_other_version(import) {
        return Err(other_contract(path, import));
    }
    if Kind::ALL.into_iter().flat_map(interfaces).any(|interface| full(interface) == import) {
        return Err(HostError::ForeignImport { path: path.to_owned(), kind, import: import.to_owned() });
    }
    Err(HostError::UnknownImport {
        path: path.to_owned(),
        import: import.to_owned(),
        hint: if import.starts_with("wasi:") { "; build for `wasm32-unknown-unknown`, which has no WASI" } else { "" },
    })
}

fn full(interface: &str) -> String {
    format!("{PACKAGE}/{interface}@{PACKAGE_VERSION}")
}

fn is_other_version(name: &str) -> bool {
    name.strip_prefix(PACKAGE)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|rest| rest.rsplit_once('@').is_none_or(|(_, version)| version != PACKAGE_VERSION))
}

fn other_contract(path: &Path, found: &str) -> HostError {
    HostError::OtherContract { path: path.to_owned(), found: found.to_owned(), supported: format!("{PACKAGE}@{PACKAGE_VERSION}") }
}
