//! `weft identity`: who is who.

mod matching;

use clap::Subcommand;

use super::Failed;

/// What to do about who is who.
#[derive(Subcommand)]
pub(super) enum Identity {
    /// Find out which rows of a file are one person.
    Resolve(matching::Resolve),
    /// Learn from a file how much each field says, and write it down as a model.
    Train(matching::Train),
    /// Say why two rows of a file are one person, or are not, field by field.
    Compare(matching::Compare),
}

pub(super) fn run(command: Identity) -> Result<(), Failed> {
    match command {
        Identity::Resolve(resolve) => matching::resolve(&resolve),
        Identity::Train(train) => matching::train(&train),
        Identity::Compare(compare) => matching::compare(&compare),
    }
}
