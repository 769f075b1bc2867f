//! Folders that are watched for changes.
//!
//! Folders and never files: an editor renames a new file into place and Kubernetes swaps a link beside it, and a watch of the file would then
//! be of something that nobody sees any more. What the system tells is a hint and no more: whoever waits looks for himself, and
//! looks now and then without a hint, since network folders tell nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Some folders under watch, until it is dropped.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl Default for Watch {
    fn default() -> Self {
        Watch::new()
    }
}

impl Watch {
    /// A watch of nothing yet.
    #[must_use]
    pub fn new() -> Watch {
        let changed = Arc::new(Notify::new());
        let teller = changed.clone();
        let watcher = notify::recommended_watcher(move |told: notify::Result<notify::Event>| {
            // To read a file is no change of it; what cannot be told may be one.
            if !matches!(told, Ok(event) if event.kind.is_access()) {
                teller.notify_one();
            }
        });
        let watcher = watcher.inspect_err(|error| tracing::warn!(%error, "folders are not watched, only looked at now and then"));
        Watch { watcher: watcher.ok(), folders: BTreeSet::new(), changed }
    }

    /// Watches these folders, and no others from now on. One that is not there, or cannot be watched, is only looked at.
    pub fn only(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&folders) {
            // It may be gone from the disk as well.
            let _ = watcher.unwatch(gone);
        }
        // Also one that is watched already: it may be another folder of the same name.
        let watched = folders.into_iter().filter(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok());
        self.folders = watched.collect();
    }

    /// Returns when something may have changed since the last time, and has been quiet for `rest`; or after `longest` at the latest.
    pub async fn changed(&self, rest: Duration, longest: Duration) {
        let quiet = async {
            self.changed.notified().await;
            while tokio::time::timeout(rest, self.changed.notified()).await.is_ok() {}
        };
        let _ = tokio::time::timeout(longest, quiet).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_renamed_into_place_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut watch = Watch::new();
        watch.only([folder.path().to_owned(), folder.path().join("absent")].into());
        let longest = Duration::from_secs(20);
        for text in ["one", "two"] {
            std::fs::write(folder.path().join(".new"), text).expect("writes");
            std::fs::rename(folder.path().join(".new"), folder.path().join("weft.yaml")).expect("renames");
            let began = Instant::now();
            watch.changed(Duration::from_millis(20), longest).await;
            assert!(began.elapsed() < longest / 2, "{text}");
        }
        let began = Instant::now();
        watch.changed(Duration::from_millis(1), Duration::from_millis(50)).await;
        assert!(began.elapsed() >= Duration::from_millis(50), "nothing changed");
    }
}
