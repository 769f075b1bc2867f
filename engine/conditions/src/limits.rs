//! Every bound on conditions, with its reason.

/// Bytes of a condition: what somebody wrote, and not a program that something made.
pub const CONDITION_BYTES_MAX: usize = 4096;

/// Parentheses, brackets and choices within each other: the parser descends through twenty calls for each.
pub const CONDITION_NESTED_MAX: usize = 24;

/// Operators and steps down, all told. Each may be a call within the one before, both when a condition is read and when it is asked: so
/// many take less than half of a thread's stack, also without optimisation.
pub const CONDITION_LINKS_MAX: usize = 500;

/// Elements of a list that a condition looks at: twice as many as an event has products. A condition may go through a list within a list.
pub const ELEMENTS_MAX: usize = 1000;

/// Objects and lists within each other that a condition looks into: twice what anybody nests, and little stack.
pub const DEPTH_MAX: usize = 32;
