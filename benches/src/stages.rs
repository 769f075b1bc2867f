pub(crate) fn all() {}
