//! What is to be erased, written down until it is: a file for each erasure, beside the logs and for nobody else to read.
//!
//! A file and not history, since it names the person until the end, and a file can be removed.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weft_domain::claim::CustomerId;
use weft_store::files::Files;

use super::person::Person;
use super::{EraseError, Erasure};
use crate::events::Who;

/// What is to be done, as it is written down until it is done. The file names the person, and goes last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub erasure: Erasure,
    pub who: Whom,
    pub person: Person,
    /// Whether state is without the person.
    #[serde(default)]
    pub is_out_of_state: bool,
}

/// Of whom, as it was asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Whom {
    Identifier(String, String),
    Customer(CustomerId),
}

impl From<Whom> for Who {
    fn from(whom: Whom) -> Who {
        match whom {
            Whom::Identifier(kind, value) => Who::Identifier(kind, value),
            Whom::Customer(id) => Who::Customer(id),
        }
    }
}

/// The folder of the jobs.
pub(super) struct Jobs {
    folder: PathBuf,
    files: Arc<dyn Files>,
}

impl Jobs {
    /// In this folder, which is made with the first of them.
    pub(super) fn new(folder: &Path, files: Arc<dyn Files>) -> Jobs {
        Jobs { folder: folder.to_owned(), files }
    }

    /// Where they are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a job down, durably and for nobody else to read.
    pub(super) fn write_down(&self, job: &Job) -> Result<(), EraseError> {
        let json = serde_json::to_vec(job).expect("a job has string keys");
        let (beside, path) = (self.folder.join(format!("{}.new", job.erasure.id)), self.folder.join(file_name(&job.erasure.id)));
        let write = || {
            self.files.create_dir(&self.folder)?;
            let file = self.files.create(&beside)?;
            // In tests there may be no such file on the disk.
            match std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o600)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => (),
            }
            file.write_at(&json, 0)?;
            file.sync_data()?;
            self.files.rename(&beside, &path)?;
            self.files.sync_dir(&self.folder)
        };
        write().map_err(|error| EraseError::File { path, error })
    }

    /// Removes the file of a job that is done.
    pub(super) fn cross_out(&self, id: &str) -> Result<(), EraseError> {
        let path = self.folder.join(file_name(id));
        let removed = self.files.remove(&path).and_then(|()| self.files.sync_dir(&self.folder));
        removed.map_err(|error| EraseError::File { path, error })
    }

    /// The jobs that were written down and not crossed out.
    pub(super) fn left_over(&self) -> Result<Vec<Job>, EraseError> {
        let (files, folder) = (&*self.files, &*self.folder);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| EraseError::File { path, error }
        };
        let names = match files.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.map_err(failed(folder))?,
        };
        let mut jobs = Vec::new();
        for name in names {
            let path = folder.join(&name);
            if name.ends_with(".new") {
                files.remove(&path).map_err(failed(&path))?;
            }
            if !name.ends_with(".job") {
                continue;
            }
            let read = || {
                let file = files.open_read(&path)?;
                let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
                let length = file.read_at(&mut bytes, 0)?;
                serde_json::from_slice(&bytes[..length]).map_err(io::Error::from)
            };
            jobs.push(read().map_err(failed(&path))?);
        }
        Ok(jobs)
    }
}

fn file_name(id: &str) -> String {
    format!("{id}.job")
}
